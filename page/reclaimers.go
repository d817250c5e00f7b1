package page

import (
	"iter"
	"sync/atomic"
)

// reclaimers is the register of an allocator's Reclaimers. Each cache is one,
// so there may be ten thousand: adding and removing take constant time. The
// list that readers walk grows at its end, where they don't look, and is
// replaced when half of it is gone.
type reclaimers struct {
	list atomic.Pointer[[]*reclaimer]
	of   map[Reclaimer]*reclaimer // protected by reclaimMu, as is the next
	gone int                      // on the list
}

// reclaimer is one registration.
type reclaimer struct {
	Reclaimer
	gone atomic.Bool
	same *reclaimer // an earlier registration of the same
}

// AddReclaimer registers r with the allocator. Context: task; not pinned.
func (a *Allocator) AddReclaimer(r Reclaimer) {
	a.reclaimMu.Lock()
	defer a.reclaimMu.Unlock()
	rs := &a.reclaimers
	if rs.of == nil {
		rs.of = make(map[Reclaimer]*reclaimer)
	}
	e := &reclaimer{Reclaimer: r, same: rs.of[r]}
	rs.of[r] = e
	list := append(rs.now(), e) // beyond the length of every list that is out
	rs.list.Store(&list)        // ord:publish
}

// RemoveReclaimer unregisters r. Calls that have begun may still run. Context:
// task; not pinned.
func (a *Allocator) RemoveReclaimer(r Reclaimer) {
	a.reclaimMu.Lock()
	defer a.reclaimMu.Unlock()
	rs := &a.reclaimers
	e := rs.of[r]
	if e == nil {
		return
	}
	if rs.of[r] = e.same; e.same == nil {
		delete(rs.of, r)
	}
	e.gone.Store(true) // ord:publish
	rs.gone++
	if now := rs.now(); rs.gone > len(now)/2 {
		list := make([]*reclaimer, 0, len(now)-rs.gone+1)
		for _, e := range now {
			if !e.gone.Load() { // ord:publish
				list = append(list, e)
			}
		}
		rs.list.Store(&list) // ord:publish
		rs.gone = 0
	}
}

// now returns the list, which has removed ones on it.
func (rs *reclaimers) now() []*reclaimer {
	if l := rs.list.Load(); l != nil { // ord:publish
		return *l
	}
	return nil
}

// registered walks over the Reclaimers, in the order in which they were added.
func (a *Allocator) registered() iter.Seq[Reclaimer] {
	return func(yield func(Reclaimer) bool) {
		for _, e := range a.reclaimers.now() {
			if !e.gone.Load() && !yield(e.Reclaimer) { // ord:publish
				return
			}
		}
	}
}
