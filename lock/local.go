package lock

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Local gives exclusive use of one P's slot. With preempt_rt=0 the holder is
// pinned, so no other goroutine can want the slot. With preempt_rt=1 the slot has
// a sleeping lock: the holder stays preemptible and keeps its slot although it
// may continue on another P. [Local.Slot] returns the slot's number, to index
// data with.
//
// A goroutine holds at most one slot of a Local at a time.
//
// Linux: local_lock_t, which -rt maps to a sleeping lock and disabled migration.
type Local struct {
	// A block of slots is allocated when a P first takes one of them, so that
	// the zero value is usable and no table is ever moved. It is Go memory,
	// because it has a sync.Mutex; allocating it while pinned is allowed.
	blocks [percpu.MaxP / localBlock]atomic.Pointer[[localBlock]localSlot]
	used   atomic.Int32 // blocks from 0 that may exist
	dep    depcheck.Map
}

const localBlock = 256

type localSlot struct {
	mu    sync.Mutex     // preempt_rt=1
	owner atomic.Uintptr // the goroutine that holds the slot (sys.G), or 0
	pin   pin.Section    // owned by the holder, preempt_rt=0
	_     [percpu.Line - 8 - 8 - 8]byte
}

// Init names the lock's class. The lock must not be held.
func (l *Local) Init(name string) { l.dep.Init(name) }

// Lock takes the slot of the P that the goroutine runs on. With preempt_rt=1 it
// may park. It panics if the goroutine already holds the slot.
//
// Context: task or softirq; not pinned.
//
// Linux: local_lock.
func (l *Local) Lock() {
	if depcheck.Enabled() {
		l.lockChecked()
		return
	}
	l.acquire(false)
}

// acquire is Lock without lockdep. If spin is set, the goroutine is pinned and
// must not park.
func (l *Local) acquire(spin bool) {
	if !preempt.RT() {
		p := pin.Disable()
		s := l.slot(currentP())
		if s.owner.Load() != 0 { // ord:local
			panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.Local") + " taken twice by one goroutine")
		}
		s.owner.Store(sys.G()) // ord:local
		s.pin = p
		return
	}
	s := l.slot(currentP())
	if s.owner.Load() == sys.G() { // ord:local
		panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.Local") + " taken twice by one goroutine")
	}
	if spin {
		lockPinned(&s.mu)
	} else {
		s.mu.Lock()
	}
	s.owner.Store(sys.G()) // ord:local
}

// TryLock takes this P's slot if it is free, and reports whether it did.
//
// Context: any.
//
// Linux: local_trylock.
func (l *Local) TryLock() bool { return l.tryAcquire() && l.recordTry() }

func (l *Local) tryAcquire() bool {
	if !preempt.RT() {
		p := pin.Disable()
		s := l.slot(currentP())
		if s.owner.Load() != 0 { // ord:local
			p.Enable()
			return false
		}
		s.owner.Store(sys.G()) // ord:local
		s.pin = p
		return true
	}
	s := l.slot(currentP())
	if !s.mu.TryLock() {
		return false
	}
	s.owner.Store(sys.G()) // ord:local
	return true
}

// Unlock releases the slot that the goroutine holds. It panics if it holds none.
//
// Linux: local_unlock.
func (l *Local) Unlock() {
	_, s := l.find()
	if depcheck.Enabled() {
		l.dep.Release(true)
	}
	p := s.pin
	s.pin = pin.Section{}
	s.owner.Store(0) // ord:local
	if preempt.RT() {
		s.mu.Unlock()
		return
	}
	p.Enable()
	depcheck.Left()
}

// Slot returns the number of the slot that the goroutine holds, 0 to 65,535. It
// panics if it holds none.
func (l *Local) Slot() int {
	id, _ := l.find()
	return id
}

// find returns the slot that the goroutine holds. It checks the current P's slot
// first, where the holder most likely still is.
func (l *Local) find() (int, *localSlot) {
	g := sys.G()
	id := currentP()
	if s := l.slot(id); s.owner.Load() == g { // ord:local
		return id, s
	}
	for b := range l.used.Load() { // ord:local-block
		blk := l.blocks[b].Load() // ord:local-block
		if blk == nil {
			continue
		}
		for i := range blk {
			if blk[i].owner.Load() == g { // ord:local
				return int(b)*localBlock + i, &blk[i]
			}
		}
	}
	panic("quiesce/lock: " + nameOr(l.dep.Name(), "lock.Local") + ": Unlock or Slot by a goroutine that does not hold it")
}

// slot returns the slot of P id, and allocates its block if necessary.
func (l *Local) slot(id int) *localSlot {
	b := &l.blocks[id/localBlock%len(l.blocks)]
	blk := b.Load() // ord:local-block
	if blk == nil {
		// Raise the mark first: find must find the holder of any slot in use.
		for n := int32(id/localBlock) + 1; ; {
			u := l.used.Load()                         // ord:local-block
			if u >= n || l.used.CompareAndSwap(u, n) { // ord:local-block
				break
			}
		}
		b.CompareAndSwap(nil, new([localBlock]localSlot)) // ord:local-block
		blk = b.Load()                                    // ord:local-block
	}
	return &blk[id%localBlock]
}

// currentP returns the number of the current P. A caller that is not pinned may
// be on another P when it uses the number, which is why the slot has a lock.
func currentP() int {
	id := sys.ProcPin()
	sys.ProcUnpin()
	return id
}
