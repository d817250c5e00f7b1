package slab

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/pages"
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

// Store sets the pointer. Builds with -tags poison or -tags lockdep report a v
// that is neither nil nor in the range of an allocator, for this and the next
// two.
//
// Linux: rcu_assign_pointer.
func (p *Pointer[T]) Store(v *T) {
	if linksChecked {
		checkLink(unsafe.Pointer(v), reflect.TypeFor[T](), "slab.Pointer[%v].Store")
	}
	p.p.Store(uintptr(unsafe.Pointer(v))) // ord:link
}

// Swap sets the pointer and returns the old one.
func (p *Pointer[T]) Swap(v *T) *T {
	if linksChecked {
		checkLink(unsafe.Pointer(v), reflect.TypeFor[T](), "slab.Pointer[%v].Swap")
	}
	return address[T](p.p.Swap(uintptr(unsafe.Pointer(v)))) // ord:link
}

// CompareAndSwap sets the pointer to v if it is old.
func (p *Pointer[T]) CompareAndSwap(old, v *T) bool {
	if linksChecked {
		checkLink(unsafe.Pointer(v), reflect.TypeFor[T](), "slab.Pointer[%v].CompareAndSwap")
	}
	return p.p.CompareAndSwap(uintptr(unsafe.Pointer(old)), uintptr(unsafe.Pointer(v))) // ord:link
}

// address turns a number back into the pointer it was made of. The memory is
// not the garbage collector's, so the round trip is safe; the detour through
// the variable's address says so to vet.
func address[T any](u uintptr) *T { return *(**T)(unsafe.Pointer(&u)) }

// linksChecked says whether this build checks what a Pointer or a Link is set to.
const linksChecked = poisonOn || depcheck.Tagged

// checkLink reports a pointer to memory that is none of the package's. op says
// what was done, with %v for t. A pointer into an object is right: what is linked may be a field. What the
// program does afterwards is as in other builds.
//
//go:noinline
func checkLink(v unsafe.Pointer, t reflect.Type, op string) {
	if v == nil || pages.InRange(v) {
		return
	}
	op = fmt.Sprintf(op, t)
	const why = "The address is in no allocator's range: it is of the Go heap, a stack or a global.\n" +
		"The garbage collector does not follow a link between off-heap objects, and frees what only that points to.\n" +
		"Allocate the object with Cache.Alloc or Kmalloc, or link Go objects by an atomic.Pointer\n" +
		"and load it with rcu.Dereference."
	if poisonOn {
		poisonLink(v, op, why)
		return
	}
	depcheck.Suspicious(2, fmt.Sprintf("suspicious rcu_assign_pointer() usage: %s of addr %#x\n%s", op, uintptr(v), why))
}
