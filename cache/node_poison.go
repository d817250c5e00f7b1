//go:build poison || asan

package cache

import (
	"unsafe"

	"quiesce/internal/tinylfu"
)

// header is that of node_plain.go, with the number of the node: guarded objects lie
// outside of the allocator's range.
type header struct {
	links  tinylfu.Links
	number uint32 // immutable
	_      [12]byte
}

// entries finds a node of its shard by its number.
type entries struct {
	at   []unsafe.Pointer // protected by shard.mu, as is the next
	free []uint32
}

func newEntries(unsafe.Pointer) entries {
	return entries{at: make([]unsafe.Pointer, firstRef)}
}

func (e *entries) add(n unsafe.Pointer) uint32 {
	ref := uint32(len(e.at))
	if l := len(e.free); l > 0 {
		ref, e.free = e.free[l-1], e.free[:l-1]
		e.at[ref] = n
	} else {
		e.at = append(e.at, n)
	}
	headerOf(n).number = ref
	return ref
}

func (e *entries) remove(_ unsafe.Pointer, ref uint32) {
	e.at[ref] = nil
	e.free = append(e.free, ref)
}

func (e *entries) ref(n unsafe.Pointer) uint32 { return headerOf(n).number }

// known reports whether a word of a ring may have the number.
func (e *entries) known(ref uint32) bool { return int(ref) < len(e.at) }

func (e *entries) node(ref uint32) unsafe.Pointer { return e.at[ref] }
