package page

import (
	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/lock"
)

// The gate is one word that Alloc looks at: 0 lets everybody through. Closed
// allocators have it up, and all have while fail_page_alloc is armed, so that
// fault injection costs an allocation no look of its own.
const (
	gateClosed = 1 << iota
	gateFaults
)

// alive are the allocators that are not closed, for fail_page_alloc.
type aliveSet struct {
	lock.Mutex
	set   map[*Allocator]bool // protected by the lock, as is armed
	armed bool
}

var alive = newAliveSet() // before defaultAllocator, which is one

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
			a.setGate()
		}
	})
}

// enlist puts the allocator under the gate's control. Unpinned.
func (a *Allocator) enlist() {
	alive.Lock()
	defer alive.Unlock()
	alive.set[a] = true
	a.setGate()
}

// discharge shuts the gate for good. Unpinned.
func (a *Allocator) discharge() {
	alive.Lock()
	defer alive.Unlock()
	delete(alive.set, a)
	a.gate.Or(gateClosed) // ord:gate
}

// setGate raises or lowers the gate for faults. alive is locked.
func (a *Allocator) setGate() {
	if alive.armed {
		a.gate.Or(gateFaults) // ord:gate
	} else {
		a.gate.And(^uint32(gateFaults)) // ord:gate
	}
}

// admit decides about an allocation that found the gate up. A fault counts as
// what it stands for: a list that is empty, or memory that is used up.
func (a *Allocator) admit(order int, f gfp.Flags) bool {
	if a.gate.Load()&gateClosed != 0 { // ord:gate
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
