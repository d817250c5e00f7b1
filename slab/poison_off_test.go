//go:build !poison && !asan

package slab

// pretendRCU makes an object look as if it had been given to FreeRCU.
func pretendRCU(*cache, uint32) {}

// withoutGuards keeps every object in slabs.
func withoutGuards(*cache) {}
