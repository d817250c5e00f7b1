//go:build !linux

package harness

// ThreadTime is not known here: 0.
func ThreadTime() float64 { return 0 }
