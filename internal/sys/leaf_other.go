//go:build !linux || (!amd64 && !arm64)

package sys

func leafP() int32 { return -1 }
