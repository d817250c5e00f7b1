//go:build !unix

package main

// cpuTime is not known here.
func cpuTime() float64 { return 0 }

// threadTime is not known either.
func threadTime() float64 { return 0 }
