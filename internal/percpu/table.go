package percpu

import (
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// PitchShift is for code in assembly.
const PitchShift = 17

const (
	// pitch is the distance between the slots of two Ps: the width of a row.
	// Wider rows mean fewer mappings, and more that is locked, counted or
	// committed before it is used. Untuned.
	pitch = 1 << PitchShift

	maxTables = 1024
)

var (
	// most is the number of rows that a table has. The first table sets it.
	most uintptr
	// hot is what every use of a slot reads. It shares no line with a variable
	// that is written more often.
	hot struct {
		_    [Line]byte
		rows uintptr // that are open, see doc.go; only grows, up to most
		_    [Line]byte
	}
	// wanted only grows, up to most, and before rows.
	wanted atomic.Uintptr
	tables struct {
		n  atomic.Int32 // those below are published
		at [maxTables]unsafe.Pointer
	}
)

// Rows returns where the number of open rows is, which only grows. The slot of a P
// above it must be had from At.
func Rows() *uintptr { return &hot.rows }

// The rows that are open from the start where a pinned section can't open more.
const generous = 64

// addTable makes a table and returns its first row. The lock is that of columns.
func addTable() (unsafe.Pointer, error) {
	n := tables.n.Load() // ord:rows
	if n == maxTables {
		return nil, errors.New("no address space is left for per-P slots")
	}
	ps := max(runtime.NumCPU(), runtime.GOMAXPROCS(0))
	if !sys.CanOpenPinned {
		ps = max(generous, 4*ps)
	}
	raiseWord(&wanted, min(uintptr(ps), MaxP)) // ord:rows
	size := most
	if size == 0 {
		size = MaxP
		if l := sys.AddressLimit(); l > 0 { // leave most of it to others
			size = max(min(size, uintptr(l/64/pitch)), wanted.Load()) // ord:rows
		}
	}
	p, err := tables.at[n], error(nil) // there could be no memory for its rows, last time
	if p == nil {
		p, err = sys.Reserve(size * pitch)
	}
	for err != nil && most == 0 && size/2 >= wanted.Load() { // ord:rows
		size /= 2
		p, err = sys.Reserve(size * pitch)
	}
	if err == nil {
		err = sys.SmallPages(p, size*pitch) // they are sparse
	}
	if err != nil {
		return nil, fmt.Errorf("no address space for the slots of %d Ps: %w", size, err)
	}
	sys.Name(p, size*pitch, "quiesce: per-P slots")
	if most == 0 {
		most = size
	}
	tables.at[n] = p
	tables.n.Store(n + 1) // ord:rows
	to := wanted.Load()   // ord:rows
	if err := sys.Open(p, to*pitch); err != nil {
		tables.n.Store(n) // nobody saw more than a table without columns; ord:rows
		return nil, fmt.Errorf("no memory for the slots of %d Ps: %w", to, err)
	}
	if n == 0 {
		raiseRows(to) // no other table can lack them
	}
	return p, nil
}

// Follow opens the rows of all Ps that exist, where that may block.
//
// Context: task; not pinned.
func Follow() {
	ps := uintptr(runtime.GOMAXPROCS(0))
	if ps <= atomic.LoadUintptr(&hot.rows) || tables.n.Load() == 0 || ps > most { // ord:rows
		return
	}
	_ = openRows(ps, func(p unsafe.Pointer, size uintptr) bool { return sys.Open(p, size) == nil })
}

// openRow is the slow half of At. The caller is pinned to P id, or walks over
// Ps that were used. It keeps its stack small, for callers that are nosplit.
//
//go:norace
//go:noinline
func openRow(id int) int {
	if uintptr(id) < most {
		if openRows(min(most, 1<<bits.Len(uint(id))), sys.OpenPinned) {
			return id
		}
	}
	have := atomic.LoadUintptr(&hot.rows) // ord:rows
	panic("quiesce/percpu: GOMAXPROCS was raised above " + strconv.Itoa(int(have)) +
		", and there is no memory or address space for the slots of more Ps; set it before the program starts")
}

// openRows opens n rows of all tables.
func openRows(n uintptr, open func(unsafe.Pointer, uintptr) bool) bool {
	raiseWord(&wanted, n)            // ord:rows
	for i := range tables.n.Load() { // ord:rows
		if !open(tables.at[i], n*pitch) {
			return false
		}
	}
	raiseRows(n)
	return true
}

func raiseRows(to uintptr) {
	for {
		r := atomic.LoadUintptr(&hot.rows)                             // ord:rows
		if r >= to || atomic.CompareAndSwapUintptr(&hot.rows, r, to) { // ord:rows
			return
		}
	}
}

func raiseWord(w *atomic.Uintptr, to uintptr) {
	for {
		r := w.Load()                           // ord:rows
		if r >= to || w.CompareAndSwap(r, to) { // ord:rows
			return
		}
	}
}
