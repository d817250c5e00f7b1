package perf

// Usage knows nothing here.
func Usage() (cpu int64, sleeps uint64) { return 0, 0 }
