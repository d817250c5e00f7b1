package demo

import (
	"math/rand/v2"
	"time"

	"quiesce/rcu"
)

// reader looks up random paths until the job stops.
type reader struct {
	j   *job
	id  int
	rng *rand.Rand

	n, missed uint64 // not in lookups and misses yet
	bad       []fault
	longest   time.Duration

	_                      [64]byte // the counters are read by the controller
	lookups, misses, holds counter
	_                      [64]byte
}

type fault struct {
	e    *entry
	what string
}

const (
	holdOneIn = 1024                 // sections between two that hold their guard for longer
	holdLeast = 2 * time.Microsecond // of such a hold; doubled up to
	holdSteps = 11                   // ten times: 2 ms
	flushEach = 64                   // lookups
)

func (r *reader) run() {
	for !r.j.stop.Load() {
		switch {
		case r.id == 0 && r.j.pressure.Load():
			r.hold(time.Duration(r.j.stretch.Load()))
		case r.rng.Uint32()%holdOneIn == 0:
			r.hold(holdLeast << r.rng.IntN(holdSteps))
		default:
			g := rcu.ReadLock()
			r.lookup(g)
			g.Unlock()
		}
		if r.n >= flushEach {
			r.flush()
		}
	}
	r.flush()
}

// flush shows the controller what was counted, and reports faults: neither
// belongs inside a read-side section.
func (r *reader) flush() {
	r.lookups.Store(r.lookups.Load() + r.n)
	r.misses.Store(r.misses.Load() + r.missed)
	r.n, r.missed = 0, 0
	for _, f := range r.bad {
		r.j.fault(f.e, f.what)
	}
	r.bad = r.bad[:0]
}

// lookup looks a random path up and checks what it got, in place.
func (r *reader) lookup(g rcu.Guard) (*entry, *record) {
	e := &r.j.entries[r.rng.IntN(len(r.j.entries))]
	before := e.word.Load()
	rec := r.j.files.Get(g, e.path)
	after := e.word.Load()
	r.n++
	if rec == nil {
		r.missed++
	}
	if what := verdict(e, before, rec, after); what != "" {
		r.bad = append(r.bad, fault{e, what})
	}
	return e, rec
}

// hold keeps one guard for a while, and one record under it, which must not
// change; it continues to look up others. No grace period ends during the hold.
func (r *reader) hold(d time.Duration) {
	r.holds.inc()
	start := time.Now()
	g := rcu.ReadLock()
	e, rec := r.lookup(g)
	var was record
	if rec != nil {
		was = *rec
	}
	for time.Since(start) < d && !r.j.stop.Load() {
		for range 16 {
			r.lookup(g)
		}
	}
	changed := rec != nil && (*rec != was || !rec.intact(e.tag))
	g.Unlock()
	r.longest = max(r.longest, time.Since(start))
	if changed {
		r.bad = append(r.bad, fault{e, "a record changed while its reader held the guard"})
	}
	r.flush()
}
