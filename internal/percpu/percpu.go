package percpu

import (
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"
)

// MaxP is the number of Ps for which slots can be had: the most processors that
// Linux supports on any architecture.
const MaxP = 1 << 13

// Line is the distance that keeps two Ps' data apart: two cache lines,
// because amd64 prefetches lines in pairs.
const Line = 1 << LineShift

// LineShift is for code in assembly.
const LineShift = 7

// Slots is an array of a value of T for each P. T should fill whole Lines and
// must not hold Go pointers: the memory is outside the Go heap.
//
// A slot keeps its content when its P goes away. Owners raise a high-water mark
// on their slow path (Register), so a scan up to Used finds every slot that was
// ever used.
type Slots[T any] struct {
	base unsafe.Pointer // the slot of P 0
	used atomic.Int32
	row  int32 // how many of T a slot is; 0: it was not made
}

// Init takes a column of the process's tables. Slots start as zero, except those
// that were used before Release without having been registered.
//
// Context: task; not pinned.
func (s *Slots[T]) Init() error { return s.InitRow(1) }

// InitRow is Init of slots that are n of T in a row, which is at most 128 KiB. At
// returns the first of them.
//
// Context: task; not pinned.
func (s *Slots[T]) InitRow(n int) error {
	if width := lines[T](n); n < 1 || width > pitch/Line {
		return fmt.Errorf("a slot of %d is wider than the row of a P", n)
	}
	p, err := takeColumn(lines[T](n))
	s.base, s.row = p, int32(n)
	return err
}

// lines returns the width of a column of n of T.
func lines[T any](n int) uintptr {
	var t T
	return (unsafe.Sizeof(t)*uintptr(n) + Line - 1) / Line
}

// Register raises the high-water mark over P id.
//
// Context: any.
func (s *Slots[T]) Register(id int) { raise(&s.used, int32(id)+1) } // ord:mark

// Used returns one more than the highest P number that was registered.
func (s *Slots[T]) Used() int { return int(s.used.Load()) } // ord:mark

// Release clears the slots and keeps their column for a later Init of the same
// width. After it, At returns slots that all released Slots share, so that a
// late user, who breaks the rules, corrupts no live ones.
//
// Context: task; not pinned.
func (s *Slots[T]) Release() {
	n := lines[T](max(int(s.row), 1))
	grave, err := graveColumn(n)
	if err != nil {
		return // keep the column: it can't be recycled while it may be used
	}
	old := s.base
	if old == nil || old == grave {
		return
	}
	s.base = grave
	for id := range s.Used() {
		clear(unsafe.Slice((*byte)(unsafe.Add(old, uintptr(id)*pitch)), n*Line))
	}
	columns.Lock()
	defer columns.Unlock()
	columns.free[n] = append(columns.free[n], old)
}

func raise(mark *atomic.Int32, to int32) {
	for {
		u := mark.Load()                           // ord:mark
		if u >= to || mark.CompareAndSwap(u, to) { // ord:mark
			return
		}
	}
}

// columns hands out the columns of the tables.
var columns struct {
	sync.Mutex
	next  unsafe.Pointer               // the first column of the youngest table that was never used
	left  uintptr                      // columns from it on
	free  map[uintptr][]unsafe.Pointer // by width: those that were released
	grave map[uintptr]unsafe.Pointer   // by width: what released Slots share
}

// takeColumn returns the place in row 0 of a column of n lines.
func takeColumn(n uintptr) (unsafe.Pointer, error) {
	columns.Lock()
	defer columns.Unlock()
	return takeColumnLocked(n)
}

func takeColumnLocked(n uintptr) (unsafe.Pointer, error) {
	if columns.free == nil {
		columns.free = make(map[uintptr][]unsafe.Pointer)
		columns.grave = make(map[uintptr]unsafe.Pointer)
	}
	if l := columns.free[n]; len(l) > 0 {
		columns.free[n] = l[:len(l)-1]
		return l[len(l)-1], nil
	}
	Follow()
	if columns.left < n {
		p, err := addTable()
		if err != nil {
			return nil, err
		}
		for ; columns.left > 0; columns.left-- { // too narrow for this one
			columns.free[1] = append(columns.free[1], columns.next)
			columns.next = unsafe.Add(columns.next, Line)
		}
		columns.next, columns.left = p, pitch/Line
	}
	p := columns.next
	columns.next, columns.left = unsafe.Add(p, n*Line), columns.left-n
	return p, nil
}

// graveColumn returns the column that all released Slots of the width share.
func graveColumn(n uintptr) (unsafe.Pointer, error) {
	columns.Lock()
	defer columns.Unlock()
	if p := columns.grave[n]; p != nil {
		return p, nil
	}
	p, err := takeColumnLocked(n)
	if err == nil {
		columns.grave[n] = p
	}
	return p, err
}
