//go:build linux && (amd64 || arm64)

package sys

// leafP returns the number of the running goroutine's P.
func leafP() int32
