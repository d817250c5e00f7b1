package lock

import (
	"sync"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Local gives exclusive use of one P's slot: the kernel's local_lock. With
// preempt_rt=0 the holder is pinned and nobody else can want the slot. With
// preempt_rt=1 the slot has a sleeping lock: the holder stays preemptible and
// keeps its slot although it may go on on another P ("-rt maps it to disabled
// migration"). Slot tells which one it holds, from 0 to 65,535.
//
// A goroutine holds at most one slot of a Local at a time.
type Local struct {
	// Slots are made when a P first takes one, in blocks, so that the zero
	// value is usable and no table is ever moved. Go memory, because a
	// sync.Mutex is inside; making a block while pinned is allowed.
	blocks [percpu.MaxP / localBlock]atomic.Pointer[[localBlock]localSlot]
	used   atomic.Int32 // number of blocks from 0 that may be there
	dep    depcheck.Map
}

const localBlock = 256

type localSlot struct {
	mu    sync.Mutex     // preempt_rt=1
	owner atomic.Uintptr // the goroutine that holds the slot (sys.G), or 0
	pin   preempt.Pinned // owned by the holder, preempt_rt=0
	_     [percpu.Line - 8 - 8 - 8]byte
}

// Init names the lock's class. It must not be held.
func (l *Local) Init(name string) { l.dep.Init(name) }

// Lock takes the slot of the P that the goroutine runs on. With preempt_rt=1
// it may park: not in a raw atomic context.
func (l *Local) Lock() {
	if depcheck.Enabled() {
		l.lockChecked()
		return
	}
	l.take(false)
}

// take is Lock without a look at lockdep. spin: a goroutine that is pinned must
// not park.
func (l *Local) take(spin bool) {
	if !preempt.RT() {
		p := preempt.DisableNotrace()
		s := l.slot(here())
		if s.owner.Load() != 0 { // ord:local
			panic("quiesce: " + nameOr(l.dep.Name(), "lock.Local") + " taken twice by one goroutine")
		}
		s.owner.Store(sys.G()) // ord:local
		s.pin = p
		return
	}
	s := l.slot(here())
	if s.owner.Load() == sys.G() { // ord:local
		panic("quiesce: " + nameOr(l.dep.Name(), "lock.Local") + " taken twice by one goroutine")
	}
	if spin {
		lockPinned(&s.mu)
	} else {
		s.mu.Lock()
	}
	s.owner.Store(sys.G()) // ord:local
}

// TryLock takes this P's slot if nobody holds it. Any context.
func (l *Local) TryLock() bool { return l.tryTake() && l.tried() }

func (l *Local) tryTake() bool {
	if !preempt.RT() {
		p := preempt.DisableNotrace()
		s := l.slot(here())
		if s.owner.Load() != 0 { // ord:local
			p.EnableNotrace()
			return false
		}
		s.owner.Store(sys.G()) // ord:local
		s.pin = p
		return true
	}
	s := l.slot(here())
	if !s.mu.TryLock() {
		return false
	}
	s.owner.Store(sys.G()) // ord:local
	return true
}

// Unlock releases the slot that the goroutine holds; it panics if it holds
// none.
func (l *Local) Unlock() {
	_, s := l.find()
	if depcheck.Enabled() {
		l.dep.Release(true)
	}
	p := s.pin
	s.pin = preempt.Pinned{}
	s.owner.Store(0) // ord:local
	if preempt.RT() {
		s.mu.Unlock()
		return
	}
	p.EnableNotrace()
	depcheck.Left()
}

// Slot is the number of the slot that the goroutine holds; it panics if it
// holds none.
func (l *Local) Slot() int {
	id, _ := l.find()
	return id
}

// find looks where the holder most likely still is first.
func (l *Local) find() (int, *localSlot) {
	g := sys.G()
	id := here()
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
	panic("quiesce: " + nameOr(l.dep.Name(), "lock.Local") + ": Unlock or Slot by a goroutine that does not hold it")
}

func (l *Local) slot(id int) *localSlot {
	b := &l.blocks[id/localBlock%len(l.blocks)]
	blk := b.Load() // ord:local-block
	if blk == nil {
		// The mark first: whoever uses the block must be found by find.
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

// here is the P's number at this moment; unpinned callers may be elsewhere
// when they use it, which is why the slot has a lock.
func here() int {
	id := sys.ProcPin()
	sys.ProcUnpin()
	return id
}
