package depcheck

import (
	"runtime"

	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// request is one call of a hook: what it wants, and the faults it found.
type request struct {
	goid  uint64
	h     held
	n     int // entries of pcs
	pcs   [stackDepth]uintptr
	fault *fault
}

// begin pins the goroutine, so that lockdep's own locks are held for a bounded
// time, and hides what follows from the race detector.
//
//go:norace
func (r *request) begin() {
	race.Disable()
	sys.ProcPin()
}

// end undoes begin and delivers the faults that were found. No lock of lockdep's
// is held.
//
//go:norace
func (r *request) end() {
	sys.ProcUnpin()
	race.Enable()
	r.deliver()
}

// record takes the calling goroutine's stack from skip frames above the caller
// of record.
//
//go:norace
//go:noinline
func (r *request) record(skip int) { r.n = runtime.Callers(skip+2, r.pcs[:]) }

// goid is the calling goroutine's number in Go's traces.
//
//go:norace
func goid() uint64 { return sys.Goid() }

// lookup returns a goroutine's task, locked. If there is none it makes one if
// make says so, and otherwise, or where there are too many, returns nil. Pinned.
//
//go:norace
func (r *request) lookup(goid uint64, make bool) *task {
	for {
		t := r.listed(goid, make)
		if t == nil {
			return nil
		}
		t.mu.lock()
		if t.goid == goid { // a Reset did not take it off in between
			if gen := tables.gen.Load(); t.gen != gen {
				t.reset(gen)
			}
			return t
		}
		t.mu.unlock()
	}
}

//go:norace
func (r *request) listed(goid uint64, make bool) *task {
	s := &taskShards[goid%shards]
	s.mu.lock()
	t := s.list
	for t != nil && t.goid != goid {
		t = t.next
	}
	if t == nil && make {
		if t = s.idle; t != nil {
			s.idle, s.n = t.next, s.n-1
		} else if tasks.Load() >= maxTasks {
			s.mu.unlock()
			r.overflow(fullTasks)
			return nil
		} else {
			t = new(task)
		}
		tasks.Add(1)
		t.goid, t.gen, t.next = goid, 0, s.list
		s.list = t
	}
	s.mu.unlock()
	return t
}

// find is lookup of the calling goroutine.
//
//go:norace
func (r *request) find(make bool) *task {
	r.goid = goid()
	return r.lookup(r.goid, make)
}

// retire takes the caller's task off the list if there is nothing to remember.
// mu is not held.
//
//go:norace
func (r *request) retire(t *task) {
	s := &taskShards[r.goid%shards]
	s.mu.lock()
	t.mu.lock()
	if t.goid == r.goid && t.idle() {
		for p := &s.list; *p != nil; p = &(*p).next {
			if *p == t {
				*p = t.next
				t.goid = 0
				tasks.Add(-1)
				if s.n < 8 {
					t.next, s.idle, s.n = s.idle, t, s.n+1
				}
				break
			}
		}
	}
	t.mu.unlock()
	s.mu.unlock()
}
