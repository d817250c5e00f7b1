package cache

import (
	"unsafe"

	"quiesce/internal/sizeclass"
	"quiesce/internal/tinylfu"
)

// In front of a node is its header, and in front of that, if the entry was stored with
// a time to live, a timer. The header's mark says so.
//
// Readers ask for the hash and the mark, which are immutable from the moment that the
// node can be found, and for the deadline, which Touch changes. The rest is the
// policy's links and the wheel's, which shard.mu protects: no reader looks at them.

// timer is what an entry has that has a deadline.
type timer struct {
	deadline   int64  // on the cache's clock, not 0; changes under shard.mu
	next, prev uint32 // of the wheel
}

const (
	headSize  = int(unsafe.Sizeof(header{}))
	timerSize = int(unsafe.Sizeof(timer{}))
	// firstRef is the least number of a node. Those below name slots of the wheel.
	firstRef = 256
)

func headerOf(n unsafe.Pointer) *header { return (*header)(unsafe.Add(n, -headSize)) }

// headOf returns how many bytes are in front of a node.
func headOf(n unsafe.Pointer) int {
	if headerOf(n).links.Marked() {
		return headSize + timerSize
	}
	return headSize
}

// timer returns that of an entry that has one, or nil.
func (h *header) timer() *timer {
	if !h.links.Marked() {
		return nil
	}
	return (*timer)(unsafe.Add(unsafe.Pointer(h), -timerSize))
}

// deadline returns when the entry expires, or 0.
func (h *header) deadline() int64 {
	if t := h.timer(); t != nil {
		if d := t.expires(); d != never {
			return d
		}
	}
	return 0
}

// mapHash returns what the map calls the hash of the entry's key, without the
// highest bits, and policyHash the policy's of that.
func (h *header) mapHash() uint32      { return h.links.Hash() >> 1 }
func policyHash(mapHash uint64) uint32 { return uint32(mapHash) << 1 }

// header returns the header of the node with a number, which the map has.
func (e *entries) header(ref uint32) *header { return headerOf(e.node(ref)) }

// timer returns the timer of a node with a number, which the map has. It has one.
func (e *entries) timer(ref uint32) *timer {
	return (*timer)(unsafe.Add(e.node(ref), -headSize-timerSize))
}

// Links implements tinylfu.Entries.
func (e *entries) Links(ref uint32) *tinylfu.Links { return &e.header(ref).links }

// footprint returns what an object of that size takes in a slab: rcuhash has its
// nodes from a heap with fine classes.
func footprint(size int) uint32 { return uint32(sizeclass.Round(uintptr(size))) }

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
