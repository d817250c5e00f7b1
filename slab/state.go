package slab

import (
	"sync/atomic"

	"quiesce/internal/sys"
	"quiesce/preempt"
)

// lockedState is the state of an object that is watched, and a spin lock at the same
// time (stBusy), held pinned and for one transition. So the second of two frees always
// finds the first, in any context. It protects what is known of the object.
type lockedState struct{ state atomic.Uint32 }

const stBusy = ^uint32(0)

// lock locks the object, pinned.
func (o *lockedState) lock() (state uint32, p preempt.Pinned) {
	p = preempt.Disable()
	for i := 0; ; i++ {
		state = o.state.Load()                                        // ord:watched
		if state != stBusy && o.state.CompareAndSwap(state, stBusy) { // ord:watched
			return state, p
		}
		sys.Relax(i)
	}
}

// unlock unlocks the object in its new state.
func (o *lockedState) unlock(state uint32, p preempt.Pinned) {
	o.state.Store(state) // ord:watched
	p.Enable()
}
