//go:build race

package percpu

import (
	"sync/atomic"
	"unsafe"
)

// At returns the slot of P id, which is the number of a P that exists or
// existed. The race detector would take a plain load of rows for a
// race, and that of base too: it does not know what keeps Release from those who
// still use the Slots, as that must not order anything else.
//
//go:norace
func (s *Slots[T]) At(id int) *T {
	if uintptr(id) >= atomic.LoadUintptr(&hot.rows) { // ord:rows
		id = openRow(id) // returns id, so that it needs no place on the stack
	}
	return (*T)(unsafe.Add(s.base, uintptr(id)*pitch))
}
