package page

import (
	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/lock"
)

// gate is the one word that Alloc tests; 0 means proceed. It is non-zero when
// the allocator is closed or fail_page_alloc is armed, so that fault injection
// adds no test of its own.
const (
	gateClosed = 1 << iota
	gateFaults
)

// aliveSet has the allocators that are not closed, for fail_page_alloc.
type aliveSet struct {
	lock.Mutex
	set   map[*Allocator]bool // protected by the lock, as is armed
	armed bool
}

var alive = newAliveSet() // before defaultAllocator, which is in it

func newAliveSet() *aliveSet {
	s := &aliveSet{set: make(map[*Allocator]bool)}
	s.Init("page.alive")
	return s
}

func init() {
	fault.Page.Watch(func(armed bool) {
		alive.Lock()
		defer alive.Unlock()
		alive.armed = armed
		for a := range alive.set {
			a.setGateLocked()
		}
	})
}

// register makes fail_page_alloc apply to the allocator. Context: task; not
// pinned.
func (a *Allocator) register() {
	alive.Lock()
	defer alive.Unlock()
	alive.set[a] = true
	a.setGateLocked()
	a.core.Label = known.Enter(a, a.name)
}

// unregister closes the gate for good. Context: task; not pinned.
func (a *Allocator) unregister() {
	alive.Lock()
	defer alive.Unlock()
	delete(alive.set, a)
	a.gate.Or(gateClosed) // ord:gate
}

// setGateLocked makes the gate say whether faults are armed. The lock is
// alive's.
func (a *Allocator) setGateLocked() {
	if alive.armed {
		a.gate.Or(gateFaults) // ord:gate
	} else {
		a.gate.And(^uint32(gateFaults)) // ord:gate
	}
}

// admit decides about an allocation that found the gate non-zero. A fault
// counts as what it simulates: an empty list, or memory that is used up.
func (a *Allocator) admit(order int, f gfp.Flags) bool {
	if a.gate.Load()&gateClosed != 0 { // ord:gate
		if a.core.Unmade != nil {
			a.warn(order, f)
		}
		return false
	}
	if !fault.Page.Fail(Size << order) {
		return true
	}
	if f.CanLock() {
		a.count.failures.Add(1) // ord:stat
	} else {
		a.count.refusals.Add(1) // ord:stat
	}
	return false
}
