package predict

import "sync/atomic"

// stack is package slab's stack of sheaves once more, to be measured: the same
// words, the same tag, the same order of accesses. It counts failures.
type stack struct {
	head atomic.Uint64
	n    atomic.Int32
	_    [112]byte
	node [stackNodes]struct {
		next atomic.Uint32
		_    [pageBytes - 4]byte // a sheaf is a page
	}
}

const stackNodes = 64

func (s *stack) push(n uint32) (failed int) {
	for {
		h := s.head.Load()
		s.node[n].next.Store(uint32(h))
		if s.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(n)) {
			s.n.Add(1)
			return failed
		}
		failed++
	}
}

func (s *stack) pop() (n uint32, failed int) {
	for {
		h := s.head.Load()
		n := uint32(h)
		if n == 0 {
			return 0, failed
		}
		next := s.node[n%stackNodes].next.Load()
		if s.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(next)) {
			s.n.Add(-1)
			return n, failed
		}
		failed++
	}
}
