package page

import (
	"errors"
	"fmt"
	"strings"

	"quiesce/internal/sys"
)

// ErrClosed is wrapped by the error of Close on an allocator that is already
// closed.
var ErrClosed = errors.New("allocator already closed")

// LeakError is the error of Close on an allocator that has pages in use.
type LeakError struct {
	Name  string // of the allocator
	Pages int64  // in use
	// Users names what is still registered with the allocator and so may hold
	// the pages: the Reclaimers that are fmt.Stringers. The caches of package
	// slab that are not closed are among them.
	Users []string
}

func (e *LeakError) Error() string {
	s := fmt.Sprintf("page: allocator %s: Close with %d pages in use", e.Name, e.Pages)
	if len(e.Users) > 0 {
		s += "; not closed: " + strings.Join(e.Users, ", ")
	}
	return s
}

// Shrink returns all free memory to the system: it takes the pages on all Ps'
// lists and discards every free block. The result is the number of bytes
// returned. Context: task; not pinned.
//
// Linux: drain_all_pages, and ballooning.
func (a *Allocator) Shrink() int64 {
	if a.closed.Load() { // ord:gate
		return 0
	}
	a.flushLists()
	a.lockMerged()
	want := a.zone.freePop.Load() * Size // a bound: others may free and allocate; ord:zone
	a.zone.lock.UnlockIRQ()
	var got int64
	for got < want {
		n := a.scavenge(min(want-got, scavengeStep))
		if n == 0 {
			break
		}
		got += n
	}
	return got
}

// Close returns all memory to the system and keeps the address range for a
// later New. If pages are in use it returns a [*LeakError], and the allocator
// stays as it was; if the allocator is closed already, the error wraps
// [ErrClosed]. No goroutine may use the allocator during or after a Close that
// succeeds: Alloc returns nil then, and Free panics. Context: task; not pinned.
func (a *Allocator) Close() error {
	a.waitIdle()
	a.grow.Lock()
	defer a.grow.Unlock()
	if a.closed.Load() { // ord:gate
		return fmt.Errorf("page: allocator %s: %w", a.name, ErrClosed)
	}
	a.takers.Lock()
	defer a.takers.Unlock()
	a.revokeLocked()
	a.collectLocked()
	a.lockMerged()
	used := int64(a.core.Added.Load()) - a.zone.freePages.Load() - 1 // ord:frontier,zone
	used += a.zone.charged.Load() / Size                             // ord:zone
	a.closed.Store(used == 0)                                        // under the lock: no block leaves the buddy any more; ord:gate
	a.zone.lock.UnlockIRQ()
	if used != 0 {
		a.reopenLocked()
		return &LeakError{Name: a.name, Pages: used, Users: a.users()}
	}
	a.unregister()
	known.Remove(a, a.core.Label)
	a.recycle()
	a.zone.resident.Store(0) // ord:zone
	a.slots.Release()
	return nil
}

// waitIdle waits for the allocator's goroutines, which may have pages in hand.
// Without users no new ones start, but that each may start those after it: in
// this order.
func (a *Allocator) waitIdle() {
	for i := 0; a.background.busy() || a.stocking.busy() || a.merging.Load(); i++ { // ord:wake-zone
		sys.RelaxUnpinned(i)
	}
}

// users names the Reclaimers that have a name.
func (a *Allocator) users() (names []string) {
	for r := range a.registered() {
		if s, ok := r.(fmt.Stringer); ok {
			names = append(names, s.String())
		}
	}
	return names
}
