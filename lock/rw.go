package lock

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// RW lets in many readers or one writer: the kernel's rwlock_t. It is of
// Spin's kind. With preempt_rt=1 (the default) it parks and its holders stay
// preemptible; with QUIESCE=preempt_rt=0 it spins and they are pinned, readers
// too.
//
// Whoever has to wait queues, readers and writers in one line, and nobody
// overtakes the head of it. So neither side starves, and RLock waits behind a
// writer that waits. For that reason RLock does not recurse: a goroutine that
// reads and calls RLock once more waits for a writer that waits for it.
// RLockRecursive is for that case: it does not queue and waits only for a
// writer that has the lock, with precedence over everybody in the line.
//
// A write lock is released by the goroutine that took it; with preempt_rt=0 a
// read lock too.
type RW struct {
	wrote, read race.Clock // ends of sections, for the race detector

	// state is what everybody changes by read-modify-write:
	//
	//	bit 0      rwWriter   a writer has the lock; then there are no readers
	//	bit 1      rwHead     the head of the line waits; set and cleared by it
	//	bits 2-32  rwEager    recursive readers that wait for the writer to leave
	//	bits 33-63 rwReaders  readers that have the lock, of both kinds
	state atomic.Uint64

	owner atomic.Uintptr           // the writer (sys.G), or 0
	asked atomic.Pointer[rwWaiter] // who parks, latest first; preempt_rt=1
	line  sync.Mutex               // held by the head of the line; preempt_rt=1
	spun  atomic.Uint32            // the same, 1 when held; preempt_rt=0

	irq bool             // taken by LockIRQ; owned by the writer, preempt_rt=0
	off preempt.IRQState // owned by the writer, set when irq
	dep depcheck.Map
}

const (
	rwWriter uint64 = 1 << iota
	rwHead
	rwOneEager
	rwOneReader uint64 = 1 << 33

	rwReaders = ^(rwOneReader - 1)
	rwEager   = rwOneReader - rwOneEager
)

// Init names the lock's class. It must not be held.
func (l *RW) Init(name string) { l.dep.Init(name) }

// Lock takes the lock for writing. With preempt_rt=1 it may park: not in a raw
// atomic context. The kernel's write_lock.
func (l *RW) Lock() {
	if depcheck.Enabled() {
		l.checked(depcheck.Exclusive, false, l.lock)
		return
	}
	l.lock()
}

// TryLock takes the lock for writing if nobody has it and nobody waits for it.
// Any context.
func (l *RW) TryLock() bool { return l.tryLock() && l.tried(depcheck.Exclusive) }

// Unlock releases a lock taken for writing. It panics if this goroutine does
// not hold it so.
func (l *RW) Unlock() {
	if depcheck.Enabled() && !l.unlockChecked() {
		return
	}
	l.mustWrite(false)
	l.unlock()
}

// RLock takes the lock for reading, behind those who wait already. A goroutine
// that has the lock must not call it. With preempt_rt=1 it may park: not in a
// raw atomic context. The kernel's read_lock in a task.
func (l *RW) RLock() {
	if depcheck.Enabled() {
		l.checked(depcheck.Read, false, l.rlock)
		return
	}
	l.rlock()
}

// TryRLock takes the lock for reading if no writer has it and nobody waits at
// the head of the line. Any context.
func (l *RW) TryRLock() bool { return l.tryRLock() && l.tried(depcheck.Read) }

// RLockRecursive takes the lock for reading and waits only while a writer has
// it, so that it may be called by a goroutine that reads already. With
// preempt_rt=1 it may park. The kernel's read_lock in an interrupt.
func (l *RW) RLockRecursive() {
	if depcheck.Enabled() {
		l.checked(depcheck.Read|depcheck.Recursive, false, l.rlockRecursive)
		return
	}
	l.rlockRecursive()
}

// RUnlock releases a lock taken for reading, by whichever method. It panics if
// no reader has it.
func (l *RW) RUnlock() {
	if depcheck.Enabled() && !l.runlockChecked() {
		return
	}
	l.mustRead()
	l.runlock()
}

// LockIRQ is the kernel's write_lock_irqsave: with preempt_rt=0 interrupts are
// disabled too; with preempt_rt=1 they are not, as Spin's LockIRQ has it.
func (l *RW) LockIRQ() {
	if depcheck.Enabled() {
		l.checked(depcheck.Exclusive, true, l.lockIRQ)
		return
	}
	l.lockIRQ()
}

func (l *RW) lockIRQ() {
	if preempt.RT() {
		l.lock()
		return
	}
	s := preempt.DisableIRQNotrace()
	l.lock()
	l.irq, l.off = true, s
}

// UnlockIRQ ends a section begun with LockIRQ. Hardirq handlers that waited
// run now.
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
	l.irq, l.off = false, preempt.IRQState{}
	l.unlock()
	s.RestoreNotrace()
}

// RLockIRQ is the kernel's read_lock_irqsave. As LockIRQ, but for reading.
func (l *RW) RLockIRQ() {
	if depcheck.Enabled() {
		l.checked(depcheck.Read, true, l.rlockIRQ)
		return
	}
	l.rlockIRQ()
}

func (l *RW) rlockIRQ() {
	if !preempt.RT() {
		preempt.DisableIRQNotrace() // RUnlockIRQ finds the token on its P
	}
	l.rlock()
}

// RUnlockIRQ ends a section begun with RLockIRQ. Hardirq handlers that waited
// run now.
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
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.RW") + ": RUnlock goes with RLock, RUnlockIRQ with RLockIRQ")
	}
	l.runlock()
	s := preempt.DisableIRQNotrace() // pinned since RLockIRQ: the token is the same
	s.RestoreNotrace()
	s.RestoreNotrace()
}

// pin is the holder's pin, with preempt_rt=0.
func pin() {
	if !preempt.RT() {
		preempt.DisableNotrace() // unpin finds the token on its P
	}
}

// unpin ends what pin began. Readers are many and have no place for a token
// in the lock; but being pinned they are still on the P whose token it was.
func unpin() {
	if !preempt.RT() {
		p := preempt.DisableNotrace()
		p.EnableNotrace()
		p.EnableNotrace()
		depcheck.Left()
	}
}

func (l *RW) lock() {
	pin()
	race.Disable()                            // the detector must not take readers for ordered by state
	ok := l.state.CompareAndSwap(0, rwWriter) // ord:rw
	race.Enable()
	if !ok {
		l.lockSlow()
	}
	l.wroteBy(sys.G())
}

func (l *RW) tryLock() bool {
	pin()
	race.Disable()
	ok := l.state.CompareAndSwap(0, rwWriter) // ord:rw
	race.Enable()
	if !ok {
		unpin()
		return false
	}
	l.wroteBy(sys.G())
	return true
}

// wroteBy is the last step of every way to take the lock for writing.
func (l *RW) wroteBy(g uintptr) {
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
	if l.asked.Load() != nil { // ord:rw-park
		l.wake()
	}
	unpin()
}

func (l *RW) rlock() {
	pin()
	if !l.takeRead(rwWriter | rwHead) {
		l.rlockSlow()
	}
	l.wrote.Acquire()
}

func (l *RW) rlockRecursive() {
	pin()
	if !l.takeRead(rwWriter) {
		l.rlockEager()
	}
	l.wrote.Acquire()
}

func (l *RW) tryRLock() bool {
	pin()
	if !l.takeRead(rwWriter | rwHead) {
		unpin()
		return false
	}
	l.wrote.Acquire()
	return true
}

// takeRead counts a reader unless one of the bits is set.
func (l *RW) takeRead(unless uint64) bool {
	race.Disable()
	s := l.state.Load()                                              // ord:rw
	for s&unless == 0 && !l.state.CompareAndSwap(s, s+rwOneReader) { // ord:rw
		s = l.state.Load() // ord:rw
	}
	race.Enable()
	return s&unless == 0
}

// runlock is behind mustRead. It counts down by compare-and-swap, so that an
// unlock too many, beside the last one, is told and not counted.
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
	// Readers are in nobody's way but a writer's at the head of the line.
	if s&rwReaders == rwOneReader && s&rwHead != 0 && l.asked.Load() != nil { // ord:rw-park
		l.wake()
	}
	unpin()
}

// mustWrite panics unless this goroutine has the lock for writing.
func (l *RW) mustWrite(irq bool) {
	switch {
	case l.state.Load()&rwWriter == 0: // ord:rw
		panic("quiesce: unlock of unlocked " + nameOr(l.dep.Name(), "lock.RW"))
	case l.owner.Load() != sys.G(): // ord:rw-self
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.RW") + ": Unlock by a goroutine that does not hold it")
	case l.irq != irq:
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.RW") + ": Unlock goes with Lock, UnlockIRQ with LockIRQ")
	}
}

// mustRead panics where this goroutine can't have the lock for reading. Which
// goroutines have is not recorded; but with preempt_rt=0 they are pinned.
func (l *RW) mustRead() {
	switch {
	case l.state.Load()&rwReaders == 0: // ord:rw
		l.notRead()
	case !preempt.RT() && !preempt.Atomic():
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.RW") + ": RUnlock by a goroutine that does not hold it")
	}
}

func (l *RW) notRead() {
	panic("quiesce: unlock of " + nameOr(l.dep.Name(), "lock.RW") + ", which no reader has")
}
