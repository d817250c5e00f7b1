// Package percpu gives every P a slot of its own, padded against false
// sharing. The goroutine that is pinned to a P owns its slot and needs no
// atomics. Other goroutines take a slot over by the revoking protocol of the
// package that defines it.
//
// Address space for MaxP slots is reserved at once, and memory is committed by
// page fault when a slot is first touched, so that no table grows: a raw atomic
// section never waits for one, and GOMAXPROCS may change in either direction
// at any time. A slot keeps its content when its P goes away. Owners raise a
// high-water mark on their slow path (Register), so a scan up to Used finds
// every slot that was ever used.
package percpu

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// MaxP is the number of Ps for which slots are reserved.
const MaxP = 1 << 16

// mask keeps a P's number in range without a bounds check, which would be a
// panic in a pinned section.
const mask = MaxP - 1

// Line is the distance that keeps two Ps' data apart: two cache lines,
// because amd64 prefetches lines in pairs.
const Line = 128

// Slots is an array of MaxP values of T, which should fill whole Lines.
// T must not hold Go pointers: the memory is outside the Go heap.
type Slots[T any] struct {
	base unsafe.Pointer
	used atomic.Int32
}

// Init reserves the address space. Slots start as zero, except those that were
// used before Release without having been registered.
func (s *Slots[T]) Init() error {
	var t T
	p, err := getRange(MaxP * unsafe.Sizeof(t))
	s.base = p
	return err
}

// At returns the slot of P id.
func (s *Slots[T]) At(id int) *T {
	var t T
	return (*T)(unsafe.Add(s.base, uintptr(id&mask)*unsafe.Sizeof(t)))
}

// Register raises the high-water mark over P id.
//
// Context: any.
func (s *Slots[T]) Register(id int) { raise(&s.used, int32(id)+1) } // ord:mark

// Used returns one more than the highest P number that was registered.
func (s *Slots[T]) Used() int { return int(s.used.Load()) } // ord:mark

// Release returns the memory and keeps the address space for a later Init of the
// same size. After it, At returns slots that all released Slots share, so that a
// late user, who breaks the rules, corrupts no live ones.
func (s *Slots[T]) Release() {
	var t T
	size := MaxP * unsafe.Sizeof(t)
	ranges.Lock()
	old, grave := s.base, ranges.grave[size]
	ranges.Unlock()
	if grave == nil {
		g, err := reserve(size)
		if err != nil {
			return // keep the range: it can't be recycled while it may be used
		}
		ranges.Lock()
		if ranges.grave == nil {
			ranges.grave = make(map[uintptr]unsafe.Pointer)
		}
		if grave = ranges.grave[size]; grave == nil { // no other Release was faster
			ranges.grave[size], grave = g, g
		}
		ranges.Unlock()
	}
	if old == nil || old == grave {
		return
	}
	s.base = grave
	putRange(old, size, uintptr(s.Used())*unsafe.Sizeof(t))
}

func raise(mark *atomic.Int32, to int32) {
	for {
		u := mark.Load()                           // ord:mark
		if u >= to || mark.CompareAndSwap(u, to) { // ord:mark
			return
		}
	}
}

// The ranges that were released, by size: reserved address space is never
// unmapped.
var ranges struct {
	sync.Mutex
	free  map[uintptr][]unsafe.Pointer
	grave map[uintptr]unsafe.Pointer
}

func getRange(size uintptr) (unsafe.Pointer, error) {
	ranges.Lock()
	if l := ranges.free[size]; len(l) > 0 {
		p := l[len(l)-1]
		ranges.free[size] = l[:len(l)-1]
		ranges.Unlock()
		return p, nil
	}
	ranges.Unlock()
	return reserve(size)
}

// reserve takes address space for slots. They are sparse: a huge page would
// commit 2 MiB for the first of them.
func reserve(size uintptr) (unsafe.Pointer, error) {
	p, err := sys.ReserveOpen(size)
	if err == nil {
		err = sys.SmallPages(p, size)
	}
	return p, err
}

func putRange(p unsafe.Pointer, size, used uintptr) {
	used = (used + 1<<16 - 1) &^ (1<<16 - 1) // whole pages on every system
	if used > 0 && sys.Discard(p, min(used, size)) != nil {
		clear(unsafe.Slice((*byte)(p), used))
	}
	ranges.Lock()
	if ranges.free == nil {
		ranges.free = make(map[uintptr][]unsafe.Pointer)
	}
	ranges.free[size] = append(ranges.free[size], p)
	ranges.Unlock()
}
