package lock

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// Spin is the kernel's spinlock_t. With preempt_rt=1 (the default) it is a
// sleeping lock and its holder stays preemptible; with QUIESCE=preempt_rt=0
// it is a Raw. Code that is right in both modes neither takes it in a raw
// atomic context nor sleeps while it holds it.
type Spin struct {
	mu  sync.Mutex // preempt_rt=1
	raw Raw        // preempt_rt=0
}

// Init names the lock's class. It must not be held.
func (l *Spin) Init(name string) { l.raw.Init(name) }

// Lock takes the lock. With preempt_rt=1 it may park: not in a raw atomic
// context.
func (l *Spin) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(0, false)
		return
	}
	if preempt.RT() {
		l.mu.Lock()
		return
	}
	l.raw.take()
}

// TryLock takes the lock if nobody holds it. Any context.
func (l *Spin) TryLock() bool {
	if preempt.RT() {
		return l.mu.TryLock() && l.tried()
	}
	return l.raw.tryTake() && l.tried()
}

// Unlock releases the lock. Unlocking a lock that is not held is a fatal
// error with preempt_rt=1 and a panic with preempt_rt=0.
func (l *Spin) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	if preempt.RT() {
		l.mu.Unlock()
		return
	}
	l.raw.release()
	depcheck.Left()
}

// LockIRQ is the kernel's spin_lock_irqsave: with preempt_rt=0 interrupts are
// disabled too; with preempt_rt=1 they are not, as in the kernel, because
// there handlers are threads that wait for the lock.
func (l *Spin) LockIRQ() {
	if depcheck.Enabled() {
		l.lockChecked(0, true)
		return
	}
	if preempt.RT() {
		l.mu.Lock()
		return
	}
	l.raw.takeIRQ()
}

// UnlockIRQ ends a section begun with LockIRQ.
func (l *Spin) UnlockIRQ() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	if preempt.RT() {
		l.mu.Unlock()
	} else {
		l.raw.releaseIRQ()
	}
	if depcheck.Enabled() {
		depcheck.HardirqsOn()
		depcheck.Left()
	}
}

// Mutex is the kernel's mutex: the holder may sleep. Not in a raw atomic
// context, nor under a Spin.
type Mutex struct {
	mu  sync.Mutex
	dep depcheck.Map
}

// Init names the lock's class. It must not be held.
func (l *Mutex) Init(name string) { l.dep.Init(name) }

// Lock takes the lock and may park.
func (l *Mutex) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(0)
		return
	}
	l.mu.Lock()
}

// TryLock takes the lock if nobody holds it. Any context.
func (l *Mutex) TryLock() bool { return l.mu.TryLock() && l.tried() }

// Unlock releases the lock. Unlocking a lock that is not held is a fatal
// error.
func (l *Mutex) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	l.mu.Unlock()
}
