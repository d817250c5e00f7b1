package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/depcheck"
)

// Pointer is a link from one off-heap object to another. It holds an address
// that the garbage collector does not follow, so it may be a field of the T of a
// [Cache], where a *T may not. It must be nil or point to memory of this
// package, never to the Go heap. All operations are atomic: Store publishes what
// was written before it, and a Load that returns the pointer sees that.
//
// Context: any.
type Pointer[T any] struct {
	p atomic.Uintptr
}

// Load returns the pointer. With -tags lockdep a load outside of a read-side
// section is reported.
//
// Linux: rcu_dereference.
func (p *Pointer[T]) Load() *T {
	if depcheck.Tagged {
		depcheck.NeedReader(1, "suspicious rcu_dereference_check() usage!")
	}
	return address[T](p.p.Load()) // ord:link
}

// LoadProtected returns the pointer to an updater, who needs no section because
// a lock keeps others from changing it. held says that the lock is held, as a
// rule by its Held method. With -tags lockdep false is reported.
//
// Linux: rcu_dereference_protected.
func (p *Pointer[T]) LoadProtected(held bool) *T {
	if depcheck.Tagged && !held {
		depcheck.Suspicious(1, "suspicious rcu_dereference_protected() usage!")
	}
	return address[T](p.p.Load()) // ord:link
}

// LoadRaw is Load without the check, for callers whose protection lockdep cannot
// see.
//
// Linux: rcu_dereference_raw.
func (p *Pointer[T]) LoadRaw() *T { return address[T](p.p.Load()) } // ord:link

// Store sets the pointer.
//
// Linux: rcu_assign_pointer.
func (p *Pointer[T]) Store(v *T) { p.p.Store(uintptr(unsafe.Pointer(v))) } // ord:link

// Swap sets the pointer and returns the old one.
func (p *Pointer[T]) Swap(v *T) *T {
	return address[T](p.p.Swap(uintptr(unsafe.Pointer(v)))) // ord:link
}

// CompareAndSwap sets the pointer to v if it is old.
func (p *Pointer[T]) CompareAndSwap(old, v *T) bool {
	return p.p.CompareAndSwap(uintptr(unsafe.Pointer(old)), uintptr(unsafe.Pointer(v))) // ord:link
}

// address turns a number back into the pointer it was made of. The memory is
// not the garbage collector's, so the round trip is safe; the detour through
// the variable's address says so to vet.
func address[T any](u uintptr) *T { return *(**T)(unsafe.Pointer(&u)) }
