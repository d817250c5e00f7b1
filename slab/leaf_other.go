//go:build !linux || (!amd64 && !arm64)

package slab

import (
	"unsafe"

	"quiesce/gfp"
)

func leafAlloc(c *cache, f gfp.Flags) unsafe.Pointer { return allocPinned(c, f) }

func leafFree(c *cache, p unsafe.Pointer) { freePinned(c, p) }

func leafFreeRCU(c *cache, p unsafe.Pointer) { freeRCUPinned(c, p) }
