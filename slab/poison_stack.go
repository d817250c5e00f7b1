//go:build poison || asan

package slab

import (
	"runtime"
	"slices"
	"sync/atomic"

	"quiesce/internal/sys"
	"quiesce/lock"
)

// Each different stack is kept once, forever, and named by a number, so that an
// object's two cost 8 bytes. A stack may be recorded in any context: that
// allocates Go memory, for which a pinned goroutine never waits, under a spin
// lock.

const (
	stackDepth   = 24
	stackBuckets = 1 << 14
	stackChunk   = 1 << 10
	stackMost    = 1 << 20 // stacks; later ones are not recorded
)

type trace struct {
	id   uint32
	hash uint64
	pcs  []uintptr
	next *trace                 // of its bucket
	text atomic.Pointer[string] // once it was rendered
}

type traceTable struct {
	mu      lock.Raw
	n       uint32 // protected by mu
	buckets [stackBuckets]atomic.Pointer[trace]
	chunks  [stackMost / stackChunk]atomic.Pointer[[stackChunk]atomic.Pointer[trace]]
}

var traces = newTraceTable()

func newTraceTable() *traceTable {
	t := new(traceTable)
	t.mu.Init("slab.traces.mu")
	return t
}

// callerTrack records the caller of the package.
func callerTrack() track {
	var pcs [stackDepth]uintptr
	return track{g: sys.Goid(), stack: record(pcs[:runtime.Callers(3, pcs[:])])}
}

func record(pcs []uintptr) uint32 {
	hash := uint64(len(pcs))
	for _, pc := range pcs {
		hash = (hash ^ uint64(pc)) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	b := &traces.buckets[hash%stackBuckets]
	find := func() *trace {
		for s := b.Load(); s != nil; s = s.next {
			if s.hash == hash && slices.Equal(s.pcs, pcs) {
				return s
			}
		}
		return nil
	}
	if s := find(); s != nil {
		return s.id
	}
	s := &trace{hash: hash, pcs: slices.Clone(pcs)}
	traces.mu.LockIRQ()
	defer traces.mu.UnlockIRQ()
	if s := find(); s != nil {
		return s.id
	}
	if traces.n+1 == stackMost {
		return 0
	}
	traces.n++
	s.id, s.next = traces.n, b.Load()
	chunk := &traces.chunks[s.id/stackChunk]
	if chunk.Load() == nil {
		chunk.Store(new([stackChunk]atomic.Pointer[trace]))
	}
	chunk.Load()[s.id%stackChunk].Store(s)
	b.Store(s)
	return s.id
}

func stackOf(id uint32) *trace {
	if id == 0 {
		return nil
	}
	return traces.chunks[id/stackChunk].Load()[id%stackChunk].Load()
}

// noStack is the text where no stack was recorded.
var noStack = "  (no stack: too many different ones)\n"

// render returns the stack as text and keeps it.
func (s *trace) render() *string {
	if s == nil {
		return &noStack
	}
	if t := s.text.Load(); t != nil {
		return t
	}
	t := renderStack(s.pcs)
	s.text.Store(&t)
	return &t
}

// caller is the function that called this package.
func (t track) caller() string {
	if s := stackOf(t.stack); s != nil {
		return userOf(s.pcs)
	}
	return userOf(nil)
}
