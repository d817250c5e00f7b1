package compare

import (
	"quiesce/lock"
	"quiesce/preempt"
)

// trylock is Linux 6.15's alloc_pages_nolock: the lock may be one that sleeps,
// because it is never waited for. Whoever finds it taken does without.
type trylock struct{ *pool }

func newTryLock(in *Instance) (engine, error) {
	l := new(lock.Spin)
	l.Init("lab.trylock.zone")
	p, err := newPool(in, l)
	if err != nil {
		return nil, err
	}
	return newBatcher(in, trylock{p}), nil
}

func (t trylock) get() *array {
	s := preempt.DisableIRQ() // a handler may try too
	if !t.lock.TryLock() {
		s.Restore()
		return nil
	}
	a := t.takeLocked()
	few := t.left < poolLow
	t.lock.Unlock()
	s.Restore()
	if few {
		t.wantMore()
	}
	return a
}

// put is kfree_nolock: where the lock is taken the page waits for the next one
// who gets it.
func (t trylock) put(a *array) {
	s := preempt.DisableIRQ()
	if t.lock.TryLock() {
		t.putLocked(a)
		t.lock.Unlock()
	} else {
		t.putLate(a)
	}
	s.Restore()
}
