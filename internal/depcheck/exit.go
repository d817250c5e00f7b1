package depcheck

import (
	"bytes"
	"runtime"
	"strconv"
)

// CheckNoLocksHeld reports what the calling goroutine holds.
//
// Context: task; not pinned.
//
// Linux: debug_check_no_locks_held.
//
//go:norace
func CheckNoLocksHeld() {
	if !Enabled() {
		return
	}
	var r request
	r.record(1)
	r.begin()
	if t := r.find(false); t != nil {
		if t.depth > 0 {
			r.reportStillHeld(t, false)
		}
		t.mu.unlock()
	}
	r.end()
}

// CheckExited reports goroutines that ended while they held something: locks
// and, with -tags lockdep, read-side sections whose guard was never unlocked. It
// reads the stacks of all goroutines, which stops the world for a moment.
//
// Context: task; not pinned.
func CheckExited() {
	if !Enabled() {
		return
	}
	holders := holders()
	alive := goroutines()
	for _, goid := range holders {
		// A holder that is no longer alive ended without releasing.
		if !alive[goid] {
			reportGone(goid)
		}
	}
}

// holders are the goroutines that hold something.
//
//go:norace
func holders() (goids []uint64) {
	var r request
	r.begin()
	gen := tables.gen.Load()
	for i := range taskShards {
		s := &taskShards[i]
		s.mu.lock()
		for t := s.list; t != nil; t = t.next {
			if t.gen == gen && t.depth > 0 {
				goids = append(goids, t.goid)
			}
		}
		s.mu.unlock()
	}
	r.end()
	return goids
}

// reportGone reports what a goroutine that has ended still holds.
//
//go:norace
func reportGone(goid uint64) {
	var r request
	r.begin()
	if t := r.lookup(goid, false); t != nil {
		if t.depth > 0 {
			r.reportStillHeld(t, true)
			t.forgetLocks()
		}
		t.mu.unlock()
		r.goid = goid
		r.retire(t)
	}
	r.end()
}

// forgetLocks forgets what a goroutine that has ended held, except its sections:
// another goroutine may have their guards.
//
//go:norace
func (t *task) forgetLocks() {
	for i := t.depth - 1; i >= 0; i-- {
		if t.at(i).flags&flagSection == 0 {
			t.remove(i)
		}
	}
	t.hardirq, t.threaded, t.softirq, t.irqsOff, t.bhOff, t.lost = 0, 0, 0, 0, 0, 0
	if t.depth == 0 {
		t.pins = 0
	}
}

// goroutines are the goroutines that are alive.
func goroutines() map[uint64]bool {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	alive := map[uint64]bool{}
	for line := range bytes.Lines(buf) {
		if rest, ok := bytes.CutPrefix(line, []byte("goroutine ")); ok {
			n, _, _ := bytes.Cut(rest, []byte(" "))
			if id, err := strconv.ParseUint(string(n), 10, 64); err == nil {
				alive[id] = true
			}
		}
	}
	return alive
}
