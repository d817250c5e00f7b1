//go:build !poison && !asan

package cache

import (
	"unsafe"

	"quiesce/internal/tinylfu"
)

// header lies in front of a node of the map.
type header struct {
	links tinylfu.Links // see node.go
}

// entries finds a node by its number: its distance from the allocator's base in
// units of 16 bytes. Page 0 is never handed out, so that numbers below firstRef are
// free for other uses.
type entries struct{ base unsafe.Pointer }

func newEntries(base unsafe.Pointer) entries { return entries{base} }

// add gives a new node its number, remove ends that. shard.mu is held.
func (e *entries) add(n unsafe.Pointer) uint32       { return e.ref(n) }
func (e *entries) remove(n unsafe.Pointer, _ uint32) {}

// ref returns the number of a node that has one. Context: any.
func (e *entries) ref(n unsafe.Pointer) uint32 {
	return uint32((uintptr(n) - uintptr(e.base)) >> 4)
}

// known reports whether a word of a ring may have the number. Any may.
func (e *entries) known(uint32) bool { return true }

// node returns the node with a number, wherever that is from: the map knows
// whether it has such a node. shard.mu is held.
func (e *entries) node(ref uint32) unsafe.Pointer { return unsafe.Add(e.base, uintptr(ref)<<4) }
