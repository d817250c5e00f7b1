package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/page"
	"quiesce/rcu"
)

// sheaf is the layout of memory that holds objects: a page, or less (small.go),
// of which obj is a shorter part then. The owner of the sheaf
// owns all fields; next also belongs to the stack that the sheaf is on.
type sheaf struct {
	next   atomic.Uint32
	_      uint32
	cookie rcu.Cookie // of a closed RCU sheaf
	_      [32]byte   // keeps n off the page offsets of slot's words (4K aliasing)
	n      uint32     // objects in obj
	cap    uint32     // objects that fit; 0 in the sentinel
	_      uint64
	obj    [sheafMax]uint32 // offsets, in units of 16 bytes
}

const (
	unitShift = 4 // offsets count 16-byte units
	unit      = 1 << unitShift
	sheafMax  = (page.Size - sheafHead) / 4
	sheafHead = 64 // bytes before obj

	// sheafShift: sheaves begin at multiples of 256 bytes.
	sheafShift = 8

	// cacheBytes bounds the objects of one sheaf; 1008 objects of 64 B are
	// 63 KB. Untuned.
	cacheBytes = 128 << 10
)

// num names a sheaf: where it is in the range, in units of 256 bytes. 0 is the
// sentinel.
type num = uint32

func (c *cache) sheaf(n num) *sheaf {
	return (*sheaf)(unsafe.Add(c.base, uintptr(n)<<sheafShift))
}

// room returns how many objects fit into a sheaf.
//
//go:norace
func (c *cache) room(n num) uint32 { return c.sheaf(n).cap }

func (s *sheaf) full() bool { return s.n == s.cap }

// objects returns the filled part.
//
//go:norace
func (s *sheaf) objects() []uint32 {
	if race.Enabled {
		return s.copied()
	}
	return s.obj[:s.n]
}

// The link of a sheaf on a stack. In race builds the accesses are plain:
// atomic ones would stay in the detector's memory after the page has become
// part of an object. The atomics of the stack's head order them.
//
//go:norace
func (s *sheaf) link() num {
	if race.Enabled {
		return *(*num)(unsafe.Pointer(&s.next))
	}
	return s.next.Load() // ord:stack
}

//go:norace
func (s *sheaf) setLink(n num) {
	if race.Enabled {
		*(*num)(unsafe.Pointer(&s.next)) = n
		return
	}
	s.next.Store(n) // ord:stack
}

// stack is a lock-free stack of sheaves. The head holds a sheaf's number and
// a tag that changes with every operation, so that a pop fails whose sheaf
// left and came back in between. The link it read may then be garbage, but
// reading it never faults: pages stay readable forever.
type stack struct {
	head    atomic.Uint64
	n       atomic.Int32 // exact when no operation is under way
	objects atomic.Int64 // in the depot's full sheaves: pushFull and popFull count them
	_       [104]byte
}

//go:norace
func (st *stack) push(c *cache, n num) {
	st.pushList(c, n, n, 1)
}

// pushList pushes count linked sheaves.
//
//go:norace
func (st *stack) pushList(c *cache, first, last num, count int32) {
	race.Disable()
	for {
		h := st.head.Load()              // ord:stack
		c.sheaf(last).setLink(uint32(h)) // ord:stack
		fault.Delay("stack")
		if st.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(first)) { // ord:stack
			break
		}
	}
	st.n.Add(count) // ord:hint
	race.Enable()
}

// pop returns 0 if the stack is empty.
//
//go:norace
func (st *stack) pop(c *cache) (n num) {
	race.Disable()
	for {
		h := st.head.Load() // ord:stack
		if n = num(h); n == 0 {
			break
		}
		next := c.sheaf(n).link() // ord:stack
		fault.Delay("stack")
		if st.head.CompareAndSwap(h, (h>>32+1)<<32|uint64(next)) { // ord:stack
			st.n.Add(-1) // ord:hint
			break
		}
	}
	race.Enable()
	return n
}

// takeAll empties the stack and returns its first sheaf; the others follow by
// link. The caller takes each off the count.
func (st *stack) takeAll() num {
	for {
		h := st.head.Load() // ord:stack
		if num(h) == 0 {
			return 0
		}
		if st.head.CompareAndSwap(h, (h>>32+1)<<32) { // ord:stack
			return num(h)
		}
	}
}

func (st *stack) empty() bool { return num(st.head.Load()) == 0 } // ord:stack

// newSheaf makes an empty sheaf of a page, which was allocated with
// pages.Unseen. It returns 0 if p is nil.
//
//go:norace
func (c *cache) newSheaf(p unsafe.Pointer) num {
	if p == nil {
		return 0
	}
	n := c.core.PageOf(p) * places
	c.initSheaf(n, sheafMax, page.Size)
	return n
}

// initSheaf makes memory an empty sheaf of up to most objects.
//
//go:norace
func (c *cache) initSheaf(n num, most uint32, bytes int64) {
	race.Disable()
	s := c.sheaf(n)
	s.n, s.cap = 0, min(c.sheafCap, most)
	c.sheafBytes.Add(bytes) // ord:stat
	race.Enable()
}

// dropSheaf frees an empty sheaf's memory. A small one takes a lock.
func (c *cache) dropSheaf(n num) {
	if isSmall(n) {
		c.sheafBytes.Add(-smallSize) // ord:stat
		c.dropSmall(n)
		return
	}
	c.sheafBytes.Add(-page.Size) // ord:stat
	c.core.FreeUnseen(unsafe.Pointer(c.sheaf(n)))
}
