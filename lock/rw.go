package lock

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/pin"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// RW is a lock for many readers or one writer. It behaves like [Spin]: with
// preempt_rt=1 (the default) it parks waiters and its holders stay preemptible;
// with QUIESCE=preempt_rt=0 it spins and they are pinned, readers too.
//
// Waiters queue, readers and writers in one queue, and none overtakes its head.
// So neither side starves, and RLock waits for a writer that waits. For that
// reason RLock does not recurse: a goroutine that holds a read lock and calls
// RLock again waits for a waiting writer, which waits for it. RLockRecursive is
// for that case: it does not queue. It waits only for a writer that holds the
// lock, and takes precedence over the queue.
//
// A write lock is released by the goroutine that took it. With preempt_rt=0 a
// read lock is, too.
//
// Linux: rwlock_t.
type RW struct {
	wrote, read race.Clock // ends of sections, for the race detector

	// state changes by read-modify-write only:
	//
	//	bit 0      rwWriter   a writer has the lock; then there are no readers
	//	bit 1      rwHead     the head of the queue waits; set and cleared by it
	//	bits 2-32  rwBarging  recursive readers that wait for the writer to leave
	//	bits 33-63 rwReaders  readers that have the lock, of both kinds
	state atomic.Uint64

	owner     atomic.Uintptr           // the writer (sys.G), or 0
	parked    atomic.Pointer[rwWaiter] // parked goroutines, latest first; preempt_rt=1
	queue     sync.Mutex               // held by the head of the queue; preempt_rt=1
	queueSpin atomic.Uint32            // the same, 1 when held; preempt_rt=0

	irq bool    // taken by LockIRQ; owned by the writer, preempt_rt=0
	off pin.IRQ // owned by the writer, set when irq
	dep depcheck.Map
}

const (
	rwWriter uint64 = 1 << iota
	rwHead
	rwOneBarging
	rwOneReader uint64 = 1 << 33

	rwReaders = ^(rwOneReader - 1)
	rwBarging = rwOneReader - rwOneBarging
)

// Init names the lock's class. The lock must not be held.
func (l *RW) Init(name string) { l.dep.Init(name) }

// Lock takes the lock for writing. With preempt_rt=1 it may park.
//
// Context: task or softirq; not pinned.
//
// Linux: write_lock.
func (l *RW) Lock() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Exclusive, false, l.lock)
		return
	}
	l.lock()
}

// TryLock takes the lock for writing if it is free and no goroutine waits for
// it, and reports whether it did.
//
// Context: any.
//
// Linux: write_trylock.
func (l *RW) TryLock() bool { return l.tryLock() && l.recordTry(depcheck.Exclusive) }

// Unlock releases a lock taken for writing. It panics if the calling goroutine
// is not the writer.
//
// Linux: write_unlock.
func (l *RW) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	l.mustWrite(false)
	l.unlock()
}

// RLock takes the lock for reading, after those that already wait. A goroutine
// that holds the lock must not call it. With preempt_rt=1 it may park.
//
// Context: task or softirq; not pinned.
//
// Linux: read_lock, in a task.
func (l *RW) RLock() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Read, false, l.rlock)
		return
	}
	l.rlock()
}

// TryRLock takes the lock for reading if no writer has it and no goroutine waits
// at the head of the queue, and reports whether it did.
//
// Context: any.
//
// Linux: read_trylock.
func (l *RW) TryRLock() bool { return l.tryRLock() && l.recordTry(depcheck.Read) }

// RLockRecursive takes the lock for reading. It waits only while a writer has the
// lock, so a goroutine that already holds a read lock may call it. With
// preempt_rt=1 it may park.
//
// Context: task or softirq; not pinned.
//
// Linux: read_lock, in an interrupt.
func (l *RW) RLockRecursive() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Read|depcheck.Recursive, false, l.rlockRecursive)
		return
	}
	l.rlockRecursive()
}

// RUnlock releases a lock taken for reading, by [RW.RLock], [RW.TryRLock] or
// [RW.RLockRecursive]. It panics if no reader has the lock.
//
// Linux: read_unlock.
func (l *RW) RUnlock() {
	if depcheck.Enabled() && !l.runlockChecked() {
		return
	}
	l.mustRead()
	l.runlock()
}

// LockIRQ is [RW.Lock] that with preempt_rt=0 also disables interrupts; see
// [Spin.LockIRQ].
//
// Context: task or softirq; not pinned.
//
// Linux: write_lock_irqsave.
func (l *RW) LockIRQ() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Exclusive, true, l.lockIRQ)
		return
	}
	l.lockIRQ()
}

func (l *RW) lockIRQ() {
	if preempt.RT() {
		l.lock()
		return
	}
	s := pin.DisableIRQ()
	l.lock()
	l.irq, l.off = true, s
}

// UnlockIRQ releases a lock taken by [RW.LockIRQ]. Deferred Hardirq handlers run
// now.
//
// Linux: write_unlock_irqrestore.
func (l *RW) UnlockIRQ() {
	if depcheck.Enabled() {
		if l.unlockChecked() {
			l.unlockIRQ()
			depcheck.HardirqsOn()
			depcheck.Left()
		}
		return
	}
	l.unlockIRQ()
}

func (l *RW) unlockIRQ() {
	if preempt.RT() {
		l.mustWrite(false)
		l.unlock()
		return
	}
	l.mustWrite(true)
	s := l.off
	l.irq, l.off = false, pin.IRQ{}
	l.unlock()
	s.Restore()
}

// RLockIRQ is [RW.RLock] that with preempt_rt=0 also disables interrupts; see
// [Spin.LockIRQ].
//
// Context: task or softirq; not pinned.
//
// Linux: read_lock_irqsave.
func (l *RW) RLockIRQ() {
	if depcheck.Enabled() {
		l.lockChecked(depcheck.Read, true, l.rlockIRQ)
		return
	}
	l.rlockIRQ()
}

func (l *RW) rlockIRQ() {
	if !preempt.RT() {
		pin.DisableIRQ() // RUnlockIRQ finds the token on its P
	}
	l.rlock()
}

// RUnlockIRQ releases a lock taken by [RW.RLockIRQ]. Deferred Hardirq handlers
// run now.
//
// Linux: read_unlock_irqrestore.
func (l *RW) RUnlockIRQ() {
	if depcheck.Enabled() {
		if l.runlockChecked() {
			l.runlockIRQ()
			depcheck.HardirqsOn()
			depcheck.Left()
		}
		return
	}
	l.runlockIRQ()
}

func (l *RW) runlockIRQ() {
	l.mustRead()
	if preempt.RT() {
		l.runlock()
		return
	}
	if !preempt.IRQDisabled() {
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.RW") + ": RUnlock goes with RLock, RUnlockIRQ with RLockIRQ")
	}
	l.runlock()
	s := pin.DisableIRQ() // pinned since RLockIRQ: the token is the same
	s.Restore()
	s.Restore()
}

// pinHolder pins the holder, with preempt_rt=0.
func pinHolder() {
	if !preempt.RT() {
		pin.Disable() // unpinHolder finds the token on its P
	}
}

// unpinHolder ends what pinHolder began. The lock has no room for the tokens of
// many readers. But a reader is pinned, so it is still on the P that the token
// is for.
func unpinHolder() {
	if !preempt.RT() {
		p := pin.Disable()
		p.Enable()
		p.Enable()
		depcheck.Left()
	}
}

func (l *RW) lock() {
	pinHolder()
	race.Disable()                            // state must not order readers, for the detector
	ok := l.state.CompareAndSwap(0, rwWriter) // ord:rw
	race.Enable()
	if !ok {
		l.lockSlow()
	}
	l.lockedBy(sys.G())
}

func (l *RW) tryLock() bool {
	pinHolder()
	race.Disable()
	ok := l.state.CompareAndSwap(0, rwWriter) // ord:rw
	race.Enable()
	if !ok {
		unpinHolder()
		return false
	}
	l.lockedBy(sys.G())
	return true
}

// lockedBy is the last step of every way to take the lock for writing.
func (l *RW) lockedBy(g uintptr) {
	l.wrote.Acquire()
	l.read.Acquire()
	l.owner.Store(g) // ord:rw-self
}

func (l *RW) unlock() {
	l.owner.Store(0) // ord:rw-self
	l.wrote.Release()
	race.Disable()
	l.state.And(^rwWriter) // ord:rw,rw-park
	race.Enable()
	if l.parked.Load() != nil { // ord:rw-park
		l.wake()
	}
	unpinHolder()
}

func (l *RW) rlock() {
	pinHolder()
	if !l.addReader(rwWriter | rwHead) {
		l.rlockSlow()
	}
	l.wrote.Acquire()
}

func (l *RW) rlockRecursive() {
	pinHolder()
	if !l.addReader(rwWriter) {
		l.rlockBarging()
	}
	l.wrote.Acquire()
}

func (l *RW) tryRLock() bool {
	pinHolder()
	if !l.addReader(rwWriter | rwHead) {
		unpinHolder()
		return false
	}
	l.wrote.Acquire()
	return true
}

// addReader adds a reader unless one of the bits is set, and reports whether it
// did.
func (l *RW) addReader(unless uint64) bool {
	race.Disable()
	s := l.state.Load()                                              // ord:rw
	for s&unless == 0 && !l.state.CompareAndSwap(s, s+rwOneReader) { // ord:rw
		s = l.state.Load() // ord:rw
	}
	race.Enable()
	return s&unless == 0
}

// runlock releases a read lock. mustRead comes before it. runlock counts down by
// compare-and-swap, so that one unlock too many, racing with the last one, is
// reported and not counted.
func (l *RW) runlock() {
	l.read.Merge()
	race.Disable()
	s := l.state.Load()                                                 // ord:rw
	for s&rwReaders != 0 && !l.state.CompareAndSwap(s, s-rwOneReader) { // ord:rw,rw-park
		s = l.state.Load() // ord:rw
	}
	race.Enable()
	if s&rwReaders == 0 {
		l.notRead()
	}
	// Readers block only a writer at the head of the queue.
	if s&rwReaders == rwOneReader && s&rwHead != 0 && l.parked.Load() != nil { // ord:rw-park
		l.wake()
	}
	unpinHolder()
}

// mustWrite panics unless the calling goroutine has the lock for writing.
func (l *RW) mustWrite(irq bool) {
	switch {
	case l.state.Load()&rwWriter == 0: // ord:rw
		panic("quiesce/lock: unlock of unlocked " + nameOr(l.dep.Name(), "lock.RW"))
	case l.owner.Load() != sys.G(): // ord:rw-self
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.RW") + ": Unlock by a goroutine that does not hold it")
	case l.irq != irq:
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.RW") + ": Unlock goes with Lock, UnlockIRQ with LockIRQ")
	}
}

// mustRead panics if the calling goroutine can't have the lock for reading. The
// lock does not record which goroutines have it, but with preempt_rt=0 they are
// pinned.
func (l *RW) mustRead() {
	switch {
	case l.state.Load()&rwReaders == 0: // ord:rw
		l.notRead()
	case !preempt.RT() && !preempt.Atomic():
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.RW") + ": RUnlock by a goroutine that does not hold it")
	}
}

func (l *RW) notRead() {
	panic("quiesce/lock: unlock of " + nameOr(l.dep.Name(), "lock.RW") + ", which no reader has")
}
