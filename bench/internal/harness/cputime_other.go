//go:build !unix

package harness

// CPUTime is not known here.
func CPUTime() float64 { return 0 }
