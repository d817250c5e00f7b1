package rcu

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
)

// Pointer publishes an object on the Go heap whose end needs care: a map to
// Close, a file, a connection. Readers Load it under a guard, an updater replaces
// it and has the old one freed after the readers have left. The zero Pointer is
// nil and ready to use. It must not be copied after its first use.
//
// What only memory has to be freed for needs no Pointer: the collector keeps what
// an [atomic.Pointer] gave to a reader. Off-heap objects are linked by
// slab.Pointer.
//
// Two things make Replace right. The swap comes before the callback is
// registered, so a reader that loaded the old object began its section before
// the grace period does, and is waited for. Were it registered first, the grace
// period could end before the swap, and a later reader would still load the old
// object. And the swap is one atomic operation, so each object is handed to
// exactly one of several concurrent callers.
type Pointer[T any] struct {
	p atomic.Pointer[T] // release by updaters, acquire by readers: ord:link
}

// Load returns the current object, or nil. It stays valid until g is unlocked:
// the free of [Pointer.Replace] is not called before. With -tags lockdep a guard
// that is zero or was unlocked is reported.
//
// Context: any.
//
// Linux: rcu_dereference.
func (p *Pointer[T]) Load(g Guard) *T {
	if depcheck.Tagged {
		depcheck.CheckSection(1, &g.dep)
	}
	return p.p.Load() // ord:link
}

// Store makes next the current object, as a rule the first one. It does not
// free what was there.
//
// Context: any.
//
// Linux: rcu_assign_pointer.
func (p *Pointer[T]) Store(next *T) { p.p.Store(next) } // ord:link

// Swap makes next the current object and returns the old one, which readers may
// still use until a grace period has ended: call [Synchronize] before freeing
// it, or use Replace.
//
// Context: any.
//
// Linux: rcu_replace_pointer.
func (p *Pointer[T]) Swap(next *T) *T { return p.p.Swap(next) } // ord:link

// Replace makes next the current object and returns at once. After a grace
// period, when no reader can have the old object any more, free is called with
// it, as by [Call]: on a goroutine of the package, where it may block. [Barrier]
// waits for it.
//
// free is not called if there was no old object. It may be nil: then Replace is
// Store, and the collector frees the old object. Replacing an object by itself
// would free what readers find, and panics.
//
// Context: any. In a raw atomic context its panic ends the process.
func (p *Pointer[T]) Replace(next *T, free func(old *T)) {
	old := p.p.Swap(next) // ord:link
	if old == nil || free == nil {
		return
	}
	if old == next {
		panic("quiesce/rcu: Pointer.Replace of an object by itself: it would be freed while readers find it")
	}
	Call(func() { free(old) })
}
