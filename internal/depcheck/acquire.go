package depcheck

import (
	"unsafe"
)

// Acquire checks that the calling goroutine may take the lock, and counts the
// lock as held from then on. It comes before the wait, so that a deadlock is
// reported rather than met; Acquired comes after it. After a successful TryLock
// one Acquire with Try is enough. Callers check Enabled first.
//
// Context: any.
//
// Linux: lock_acquire.
//
//go:norace
func (m *Map) Acquire(ty *Type, how How) {
	var r request
	r.record(1)
	r.begin()
	if t := r.find(true); t != nil {
		r.h = held{id: m.serial(), addr: uintptr(unsafe.Pointer(m)), read: how.read(), n: uint8(r.n), pcs: r.pcs}
		switch {
		case how&Pins2 != 0:
			r.h.pins = 2
		case how&Pins != 0:
			r.h.pins = 1
		}
		if how&Try != 0 {
			r.h.flags = flagTried
		} else {
			r.h.flags = flagWaiting
		}
		r.acquire(t, ty, m, uint8(how>>subclassShift)&7)
		t.mu.unlock()
	}
	r.end()
}

// Might checks that the calling goroutine may take the lock, whether it does
// this time or not: Acquire and Release in one. irqsOff says whether interrupts
// are off between the two.
//
// Context: any.
//
// Linux: might_lock.
//
//go:norace
func (m *Map) Might(ty *Type, how How, irqsOff bool) {
	var r request
	r.begin()
	if t := r.find(true); t != nil {
		r.h = held{id: m.serial(), addr: uintptr(unsafe.Pointer(m)), read: how.read()}
		if irqsOff {
			t.irqsOff++
		}
		if sub := uint8(how>>subclassShift) & 7; sub != 0 || !r.known(t, ty, m) {
			// The stack is most of the cost, and needed only for what is new.
			r.record(1)
			r.h.n, r.h.pcs = uint8(r.n), r.pcs
			depth := t.depth
			r.acquire(t, ty, m, sub)
			if t.depth > depth {
				t.remove(depth)
			}
		}
		if irqsOff {
			drop(&t.irqsOff)
		}
		t.mu.unlock()
		r.retire(t)
	}
	r.end()
}

// known reports whether acquire would find nothing new and nothing wrong with
// r.h. The task is locked.
//
//go:norace
func (r *request) known(t *task, ty *Type, m *Map) bool {
	h := &r.h
	c := m.class.Load()
	if c>>16 != uint64(tables.gen.Load()) || t.depth == maxHeld {
		return false
	}
	h.class, h.ctx = uint16(c), t.context()
	if ty.Inner != WaitInvalid && ty.outer().level() > t.mayWait().may.level() {
		return false
	}
	return t.usageOf(h)&^tables.classes[h.class].usage.Load() == 0 && chainSeen(t.chainWith(h))
}

// Annotate marks what runs until end is called, for a Map that is no lock: a
// region under some rule or, with a WaitOverride type, code that is right for a
// reason lockdep can't see.
//
// Linux: lock_map_acquire_try.
func (m *Map) Annotate(ty *Type) (end func()) {
	if !Enabled() {
		return func() {}
	}
	m.Acquire(ty, Try|Read|Recursive)
	return func() { m.Release(true) }
}

// Acquired records that the wait is over.
//
// Context: any.
//
// Linux: lock_acquired.
//
//go:norace
func (m *Map) Acquired() {
	var r request
	r.begin()
	if t := r.find(false); t != nil {
		if i := t.byID(m.id.Load()); i >= 0 {
			t.at(i).flags &^= flagWaiting
		}
		t.mu.unlock()
	}
	r.end()
}

// Holder says who held a lock that is being released.
type Holder uint8

const (
	// Ours: the calling goroutine; or lockdep can't tell, because the lock was
	// taken before Enable.
	Ours Holder = iota
	// Theirs: another goroutine, which was reported.
	Theirs
	// Nobodys: the lock is not held, which was reported.
	Nobodys
)

// Release ends the calling goroutine's hold of the lock. It comes before the
// lock itself is released. really says whether the lock is held at all.
//
// Context: any.
//
// Linux: lock_release.
//
//go:norace
func (m *Map) Release(really bool) Holder {
	var r request
	if r.releaseOwn(m.id.Load()) {
		return Ours
	}
	return m.releaseOthers(really)
}

// releaseOwn forgets what the calling goroutine holds under the number, and
// reports whether there is such a hold.
//
//go:norace
func (r *request) releaseOwn(id uint64) bool {
	r.begin()
	if t := r.find(false); t != nil {
		if i := t.byID(id); i >= 0 {
			t.remove(i)
			t.mu.unlock()
			r.retire(t)
			r.end()
			return true
		}
		t.mu.unlock()
	}
	r.end()
	return false
}

// releaseOthers is Release of a lock that the calling goroutine has no record of.
//
//go:norace
//go:noinline
func (m *Map) releaseOthers(really bool) Holder {
	var r request
	r.record(2)
	holder := Ours
	r.begin()
	switch id := m.id.Load(); {
	case !really:
		holder = Nobodys
	case id != 0 && removeAnywhere(id, nil) != 0:
		holder = Theirs
	default:
		r.endLost()
	}
	if holder != Ours {
		r.goid = goid()
		r.reportUnbalance(m.title(), really)
	}
	r.end()
	return holder
}

// Held reports whether the calling goroutine holds the lock. It returns true
// where lockdep can't tell, because it is off or a table is full.
//
// Context: any.
//
// Linux: lock_is_held.
//
//go:norace
func (m *Map) Held() bool {
	if !Enabled() {
		return true
	}
	var r request
	r.begin()
	held := tables.full.Load()&fullTasks != 0
	if t := r.find(false); t != nil {
		i := t.byID(m.id.Load())
		held = i >= 0 && t.at(i).flags&flagWaiting == 0 || i < 0 && t.lost > 0
		t.mu.unlock()
	}
	r.end()
	return held
}

// Left is called after the end of a section that pinned the goroutine. It waits
// for a report from inside the section that could not be delivered there.
func Left() {
	if undelivered.Load() != 0 {
		left()
	}
}

//go:norace
//go:noinline
func left() {
	var r request
	r.begin()
	t := r.find(false)
	if t != nil {
		t.mu.unlock()
	}
	r.end()
	if t != nil {
		r.awaitUndelivered(t)
	}
}

// serial returns the lock's number. Two goroutines may be the first to ask.
//
//go:norace
func (m *Map) serial() uint64 {
	id := m.id.Load()
	if id == 0 || id <= tables.firstID.Load() {
		m.id.CompareAndSwap(id, serial.Add(1))
		id = m.id.Load()
	}
	return id
}

// title is the lock's name in reports.
//
//go:norace
func (m *Map) title() string {
	if m.name != "" {
		return m.name
	}
	if c := m.class.Load(); c>>16 == uint64(tables.gen.Load()) {
		return tables.classes[uint16(c)].title()
	}
	return "a lock without a name"
}

// acquire checks r.h against what the task holds and pushes it. The task is
// locked.
//
//go:norace
func (r *request) acquire(t *task, ty *Type, m *Map, sub uint8) {
	tables.counters.acquired.Add(1)
	h := &r.h
	if t.depth == maxHeld {
		r.overflow(fullHeld)
		t.lost++
		return
	}
	if h.class = r.classOf(m, ty, sub); h.class == 0 {
		t.lost++
		return
	}
	h.ctx = t.context()
	if t.irqsOff > 0 {
		h.flags |= flagIrqsOff
	}
	if h.flags&flagTried == 0 && ty.Inner != WaitInvalid {
		r.checkWait(t, ty)
	}
	if h.flags&flagSection == 0 {
		r.markUsage(t)
		if h.flags&flagTried == 0 {
			r.checkOrder(t)
		}
	}
	t.push(h)
}
