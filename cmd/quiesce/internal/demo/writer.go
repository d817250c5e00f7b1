package demo

import (
	"math/rand/v2"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
)

// writer replaces, deletes and re-inserts the records of the paths that are
// its own: every len(job.writers)th.
type writer struct {
	j    *job
	id   int
	rng  *rand.Rand
	own  int    // paths
	gone []gone // deleted, to be inserted again
	most int    // that gone may grow to

	// The operation under way: what put and del work on, and their result.
	e        *entry
	rec      record
	ok       bool
	put, del func() // bound once, because a pinned section should not allocate

	// Under pressure; see pressure.go.
	held  []unsafe.Pointer // pages taken off the lists
	nils  uint64           // refusals that taking them met
	peak  int              // most pages held
	asked time.Time        // when it asked for memory last

	_         [64]byte // the counters are read by the controller
	replaced  counter
	deleted   counter
	inserted  counter
	refused   counter // replacements refused because no object was cached
	noMemory  counter
	byContext [contexts]counter
	_         [64]byte
}

// mayWait are the flags of a write in a plain context. A failure is counted and
// shown in the report, so it need not be logged as well.
const mayWait = gfp.Kernel | gfp.NoWarn

type gone struct {
	e   *entry
	rec record
}

func newWriter(j *job, id, writers, maxHeld int) *writer {
	w := &writer{j: j, id: id, rng: j.random("writer", id)}
	w.own = (len(j.entries) - id + writers - 1) / writers
	w.most = min(max(w.own/8, 1), 1024)
	w.held = make([]unsafe.Pointer, 0, maxHeld)
	w.put = func() {
		w.squeeze()
		w.ok = j.files.PutFlags(w.e.path, w.rec, gfp.NoLocks|gfp.NoWarn)
	}
	w.del = func() {
		w.squeeze()
		w.ok = j.files.Delete(w.e.path)
	}
	return w
}

func (w *writer) run() {
	for !w.j.stop.Load() {
		if w.j.pressure.Load() {
			w.demand()
		}
		w.step()
		if n := len(w.held); n > 0 && (n == cap(w.held) || !w.j.pressure.Load()) {
			w.release()
		}
	}
	w.release()
}

// step does one operation: of ten eight replace, one deletes, one inserts.
func (w *writer) step() {
	e := &w.j.entries[w.id+w.rng.IntN(w.own)*len(w.j.writers)]
	there := phaseOf(e.word.Load()) == present
	switch n := w.rng.IntN(10); {
	case there && n == 0 && len(w.gone) < w.most:
		w.delete(e)
	case len(w.gone) > 0 && (n == 1 || !there):
		w.insert(w.rng.IntN(len(w.gone)))
	case there:
		w.replace(e)
	}
}

// current reads a record for update: only this writer changes it.
func (w *writer) current(e *entry) (record, bool) {
	g := rcu.ReadLock()
	r := w.j.files.Get(g, e.path)
	var rec record
	if r != nil {
		rec = *r
	}
	g.Unlock()
	switch {
	case r == nil:
		w.j.fault(e, "it was not found by its writer")
	case !rec.intact(e.tag):
		w.j.fault(e, "its writer found a record that does not fit its check word or its path")
	case rec.gen != genOf(e.word.Load()):
		w.j.fault(e, "its writer found another generation than it wrote")
	}
	return rec, r != nil
}

// replace publishes a copy of the record with the next generation. The map
// passes the old one to FreeRCU in the context of the call.
func (w *writer) replace(e *entry) {
	var found bool
	if w.rec, found = w.current(e); !found {
		return
	}
	gen := genOf(e.word.Load()) + 1
	w.rec.tag, w.rec.gen = e.tag, gen
	w.rec.seal()
	w.e = e
	c := draw(w.rng.IntN(100))
	if c != plain {
		w.in(c, w.put)
		if !w.ok {
			w.refused.inc()
			c = plain
		}
	}
	if c == plain && !w.j.files.PutFlags(e.path, w.rec, mayWait) {
		w.noMemory.inc()
		return
	}
	e.word.Store(word(gen, present))
	w.replaced.inc()
	w.byContext[c].inc()
}

// delete removes the record and remembers it.
func (w *writer) delete(e *entry) {
	rec, found := w.current(e)
	if !found {
		return
	}
	gen := genOf(e.word.Load())
	c := draw(w.rng.IntN(100))
	w.e = e
	e.word.Store(word(gen, deleting))
	w.in(c, w.del)
	e.word.Store(word(gen, absent))
	w.gone = append(w.gone, gone{e, rec})
	if !w.ok {
		w.j.fault(e, "its writer could not delete it")
		return
	}
	w.deleted.inc()
	w.byContext[c].inc()
}

// insert brings a deleted path back.
func (w *writer) insert(i int) {
	e, rec := w.gone[i].e, w.gone[i].rec
	gen := genOf(e.word.Load())
	rec.tag, rec.gen = e.tag, gen+1
	rec.seal()
	e.word.Store(word(gen, inserting))
	if !w.j.files.PutFlags(e.path, rec, mayWait) {
		e.word.Store(word(gen, absent))
		w.noMemory.inc()
		return
	}
	e.word.Store(word(gen+1, present))
	w.gone[i] = w.gone[len(w.gone)-1]
	w.gone = w.gone[:len(w.gone)-1]
	w.inserted.inc()
}
