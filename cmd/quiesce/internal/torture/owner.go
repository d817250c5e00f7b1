package torture

import (
	"runtime"
	"sync/atomic"
	"time"

	"quiesce/gfp"
	"quiesce/slab"
)

// owners is the part of the Sheaves that goroutines own. An owner is a kfreer whose
// objects of kcache come from and go into Sheaves of its own: it has several, opens,
// fills and closes them, drops some without Close, and exchanges some with other
// owners. Some objects it keeps for itself for a while, to see that nobody else got
// them. What a Sheaf says that it has in stock (Len), it must give.
type owners struct {
	s        *session
	all      []*owner
	swap     chan *slab.Sheaf[cached] // handed over, from one owner to another
	barriers atomic.Uint64
}

// owner is one thread. Its fields are its own.
type owner struct {
	*kfreer
	o      *owners
	open   []*slab.Sheaf[cached]
	kept   []kept // its capacity is never exceeded: pinned, nothing may be allocated
	n      int    // of refill
	keeps  func() // the operations, made once
	gives  func()
	refill func()

	opened, closed, dropped, handed counter
	refills, refused                counter
}

type kept struct {
	o  *cached
	id uint64
}

const (
	keptMost  = 256
	stockMost = 200 // objects that a Sheaf is opened with or filled up to
)

func newOwners(s *session) *owners {
	o := &owners{s: s, swap: make(chan *slab.Sheaf[cached], 2)}
	for i := range s.p.ownerThreads {
		w := &owner{kfreer: newKfreer(s, s.p.kfreeThreads+i), o: o, kept: make([]kept, 0, keptMost)}
		w.rng = s.random("owner", i)
		w.keeps, w.gives, w.refill = w.keep, w.giveBack, w.fill
		o.all = append(o.all, w)
	}
	return o
}

// launch starts the threads. Their kfreers are counted with the others.
func (o *owners) launch() {
	for _, w := range o.all {
		o.s.kfreers = append(o.s.kfreers, w.kfreer)
		o.s.thread(w.run)
	}
	o.s.thread(o.disturb)
}

// disturb takes away what owners are about to hand over, and closes what they
// dropped.
func (o *owners) disturb() {
	r := o.s.random("disturb", 0)
	for !o.s.stop.Load() {
		switch r.IntN(4) {
		case 0:
			o.s.kcache.Barrier()
			o.barriers.Add(1)
		case 1:
			o.s.kcache.Shrink()
		case 2:
			o.s.pages.Shrink()
		case 3:
			runtime.GC()
		}
		o.s.sleep(time.Duration(r.IntN(5)) * time.Millisecond)
		o.s.pause()
	}
}

func (w *owner) run() {
	for n := 0; !w.s.stop.Load(); n++ {
		w.turn()
		if n&63 == 0 {
			w.s.pause()
			if w.rng.IntN(4) == 0 {
				yield()
			}
		}
	}
	w.end()
}

// turn opens or closes a Sheaf, or uses one.
func (w *owner) turn() {
	x := w.rng.Uint64()
	if len(w.open) == 0 || x&127 == 0 && len(w.open) < w.s.p.ownerSheaves {
		w.openOne()
		return
	}
	i := int(x >> 8 % uint64(len(w.open)))
	switch {
	case x&127 == 1:
		w.open[i].Close()
		w.closed.inc()
		w.remove(i)
		return
	case x&511 == 2:
		w.dropped.inc()
		w.remove(i)
		return
	case x&127 == 3:
		w.exchange(i)
		return
	}
	w.sheaf = w.open[i]
	c := w.draw(w.rng.Uint64())
	w.size = 0 // through the Sheaf
	w.by[c].inc()
	w.ops.inc()
	switch x >> 40 & 7 {
	case 0:
		run(c, &w.raw, w.keeps)
	case 1:
		run(c, &w.raw, w.gives)
	case 2:
		w.n = int(x >> 44 % stockMost)
		run(c, &w.raw, w.refill)
	default:
		run(c, &w.raw, w.op)
	}
	w.sheaf = nil
}

// openOne opens a Sheaf.
//
// Context: task; not pinned.
func (w *owner) openOne() {
	n := w.rng.IntN(stockMost)
	f := gfp.NoWarn | [4]gfp.Flags{gfp.Kernel, gfp.Kernel, gfp.NoWait, gfp.NoWait | gfp.NoLocks}[w.rng.IntN(4)]
	s, err := w.s.kcache.Sheaf(n, f)
	if err != nil {
		w.failed.inc()
		yield()
		return
	}
	if s.Len() < n {
		w.stockErrors.inc()
	}
	w.opened.inc()
	w.open = append(w.open, s)
}

func (w *owner) remove(i int) {
	last := len(w.open) - 1
	w.open[i], w.open[last] = w.open[last], nil
	w.open = w.open[:last]
}

// exchange hands a Sheaf over, and takes another if there is one.
func (w *owner) exchange(i int) {
	select {
	case other := <-w.o.swap:
		w.open = append(w.open, other)
	default:
	}
	select {
	case w.o.swap <- w.open[i]:
		w.handed.inc()
		w.remove(i)
	default:
	}
}

// keep allocates objects that no other thread sees.
//
// Context: any.
func (w *owner) keep() {
	for range 1 + w.rng.IntN(32) {
		if len(w.kept) == cap(w.kept) {
			return
		}
		p := w.take()
		if p == nil {
			w.failed.inc()
			return
		}
		w.allocated.inc()
		w.stamp(&p.k, cachedWords, true)
		w.kept = append(w.kept, kept{p, p.k.id.Load()})
	}
}

// giveBack frees some of them, which must be as they were.
//
// Context: any.
func (w *owner) giveBack() {
	for range min(len(w.kept), 1+w.rng.IntN(32)) {
		last := len(w.kept) - 1
		k := w.kept[last]
		w.kept = w.kept[:last]
		if !k.o.k.whole(k.id) {
			w.s.bulkErrors.Add(1) // two owners
		}
		switch {
		case w.rng.Uint32()&1 == 0:
			w.free(&k.o.k)
		case w.sheaf != nil:
			w.direct.inc()
			w.sheaf.Free(k.o)
		default:
			w.direct.inc()
			w.s.kcache.Free(k.o)
		}
	}
}

// whole reports whether an object of kcache has that stamp.
func (k *kobj) whole(id uint64) bool {
	if k.id.Load() != id || k.not.Load() != ^id || k.words.Load()^id != cachedWords {
		return false
	}
	for _, i := range [...]uint64{kheader, cachedWords - 1} {
		if k.at(i).Load() != stampWord(id, i) {
			return false
		}
	}
	return true
}

// fill fills the stock up to n.
//
// Context: any.
func (w *owner) fill() {
	w.refills.inc()
	switch ok := w.sheaf.Refill(w.n, w.flags); {
	case !ok:
		w.refused.inc()
	case w.sheaf.Len() < w.n:
		w.stockErrors.inc()
	}
}

// end closes half of the Sheaves, and drops the others.
func (w *owner) end() {
	for len(w.kept) > 0 {
		w.giveBack()
	}
	for i, s := range w.open {
		if i%2 == 0 {
			s.Close()
			w.closed.inc()
		} else {
			w.dropped.inc()
		}
	}
	w.open = nil
}

// end waits for the cleanups of the Sheaves that were dropped. All threads have
// ended.
func (o *owners) end() {
	if o == nil {
		return
	}
	close(o.swap)
	for s := range o.swap {
		s.Close()
	}
	if o.s.p.onoffInterval > 0 {
		// Go keeps the cleanups that were queued on a P that went away until it
		// comes back (runtime.p.destroy).
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.s.mostProcs()))
	}
	for o.s.kcache.Stats().Sheaves > 0 {
		runtime.GC()
		time.Sleep(time.Millisecond) // cleanups have a goroutine
	}
	if held := o.s.kcache.Stats().Held; held > 0 {
		o.s.fail("accounts", "%d objects are held by no Sheaf", held)
	}
}

// errors is how often a Sheaf did not give what it had.
func (o *owners) errors() (n uint64) {
	if o == nil {
		return 0
	}
	for _, w := range o.all {
		n += w.stockErrors.Load()
	}
	return n
}

// OwnerResult is the part of the Sheaves that goroutines own.
type OwnerResult struct {
	Ops      uint64 `json:"ops"`
	Opened   uint64 `json:"opened"`
	Closed   uint64 `json:"closed"`
	Dropped  uint64 `json:"dropped"` // without Close
	Handed   uint64 `json:"handed_over"`
	Refills  uint64 `json:"refills"`
	Refused  uint64 `json:"refills_refused"` // for lack of memory
	Barriers uint64 `json:"barriers"`
	Errors   uint64 `json:"stock_errors"`
}

func (o *owners) result() (r OwnerResult) {
	if o == nil {
		return r
	}
	r.Barriers, r.Errors = o.barriers.Load(), o.errors()
	for _, w := range o.all {
		r.Ops += w.ops.Load()
		r.Opened += w.opened.Load()
		r.Closed += w.closed.Load()
		r.Dropped += w.dropped.Load()
		r.Handed += w.handed.Load()
		r.Refills += w.refills.Load()
		r.Refused += w.refused.Load()
	}
	return r
}
