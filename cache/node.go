package cache

import (
	"math/bits"
	"unsafe"

	"quiesce/internal/tinylfu"
)

const (
	headSize = int(unsafe.Sizeof(header{}))
	// firstRef is the least number of a node. Those below name slots of the wheel.
	firstRef = 256
)

func headerOf(n unsafe.Pointer) *header { return (*header)(unsafe.Add(n, -headSize)) }

// header returns the header of the node with a number, which the map has.
func (e *entries) header(ref uint32) *header { return headerOf(e.node(ref)) }

// Links implements tinylfu.Entries.
func (e *entries) Links(ref uint32) *tinylfu.Links { return &e.header(ref).links }

// footprint returns what an object of that size takes in a slab: rcuhash has its
// nodes from a heap with fine classes.
func footprint(size int) uint32 {
	if size <= 512 {
		return uint32(size+15) &^ 15
	}
	step := uint32(1) << (bits.Len(uint(size-1)) - 3)
	return (uint32(size) + step - 1) &^ (step - 1)
}

// hidden returns p in a way that the compiler can't follow: a key that is passed to
// the map by address, through an interface, would be on the Go heap otherwise. The
// map does not keep it.
//
// The compiler does not know either that the result is in use: whoever passes a
// variable this way keeps it alive (runtime.KeepAlive) until after the call.
//
// The result has to be a pointer for the compiler from its first instruction on.
// One that is read out of a uintptr may stay one in the stack frame, and is then not
// changed when the stack moves.
//
//go:nosplit
//go:nocheckptr
func hidden(p unsafe.Pointer) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(&origin), uintptr(p)-uintptr(unsafe.Pointer(&origin)))
}

var origin byte
