package server

import (
	"sync"
	"sync/atomic"
)

// bufferSize is the length of a connection's buffers. Untuned: memcached has the
// same.
const bufferSize = 16 << 10

// buffers has buffers that no connection uses.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

func getBuffer() []byte { return buffers.Get().(*[bufferSize]byte)[:0] }

func putBuffer(b []byte) {
	if cap(b) == bufferSize {
		buffers.Put((*[bufferSize]byte)(b[:bufferSize]))
	}
}

// A budget is what connections may allocate in excess of their buffers. used is only
// counted by: nobody reads memory on the strength of it.
type budget struct {
	limit int64
	used  atomic.Int64
}

// take takes n bytes, and reports whether there are so many.
func (b *budget) take(n int) bool {
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

func (b *budget) give(n int) { b.used.Add(-int64(n)) }

// A space is a byte slice that starts as a buffer of the pool and may grow at the
// expense of a budget.
type space struct {
	b     []byte
	taken int
}

// grow makes room for n bytes after those that b has, and reports whether it could.
func (s *space) grow(n int, from *budget) bool {
	if s.b == nil {
		s.b = getBuffer()
	}
	if need := len(s.b) + n; need > cap(s.b) {
		if !from.take(need) {
			return false
		}
		b := append(make([]byte, 0, need), s.b...)
		s.release(from)
		s.b, s.taken = b, need
	}
	return true
}

// release gives up the memory.
func (s *space) release(to *budget) {
	if s.taken > 0 {
		to.give(s.taken)
	} else if s.b != nil {
		putBuffer(s.b)
	}
	s.b, s.taken = nil, 0
}
