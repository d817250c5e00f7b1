package torture

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"quiesce/gfp"
	"quiesce/lock"
)

// pipeLen is the age at which an object is freed (RCU_TORTURE_PIPE_LEN);
// poolSize bounds the objects that are not.
const (
	pipeLen  = 10
	poolSize = 10 * pipeLen
)

// object lives in a slab cache, outside of the Go heap.
type object struct {
	pipe   atomic.Uint32 // its age
	mbtest atomic.Uint32 // 1 from before it is published until it is freed
	gen    atomic.Uint64 // which allocation it is

	mail       atomic.Uint32 // see mailbox
	mailReader uint32        // owned by the reader that made mail busy, then by the updater
	mailLoops  uint64        // likewise
}

// States of object.mail.
const (
	mailEmpty = iota
	mailBusy
	mailPosted
)

// How the writer waits for a grace period; gp_* choose among them.
const (
	byCall = iota
	byExp
	byCond
	byCondExp
	byPoll
	bySync
	byFree
	ways
)

var wayNames = [ways]string{"gp_normal", "gp_exp", "gp_cond", "gp_cond_exp", "gp_poll", "gp_sync", "gp_free"}

// chosen returns the ways that the parameters name, or all of them.
func (p *params) chosen() (all []int) {
	for way, on := range [ways]bool{p.gpNormal, p.gpExp, p.gpCond, p.gpCondExp, p.gpPoll, p.gpSync, p.gpFree} {
		if on {
			all = append(all, way)
		}
	}
	if all == nil {
		for way := range ways {
			all = append(all, way)
		}
	}
	return all
}

// allocate takes an object, in a context and with flags drawn from r, or
// returns nil. Outside of read-side sections.
func (s *session) allocate(r *rand.Rand) (o *object) {
	if s.live.Load() >= poolSize {
		return nil // as if the kernel's pool were empty: tfle
	}
	switch x := r.Uint32(); x & 7 {
	case 0:
		run(inPreempt+int(x>>8)%3, nil, func() { o = s.cache.Alloc(gfp.Atomic | gfp.NoLocks | gfp.NoWarn) })
	case 1:
		o = s.cache.Alloc(gfp.NoWait | gfp.NoWarn)
	case 2:
		o = s.cache.Alloc(gfp.Atomic | gfp.NoWarn)
	case 3:
		o = s.cache.Alloc(gfp.NoWait | gfp.NoLocks | gfp.NoWarn)
	default:
		o = s.cache.Alloc(gfp.Kernel | gfp.NoWarn)
	}
	if o != nil {
		s.live.Add(1)
	}
	return o
}

// age makes an object that was removed older by a grace period. It frees the
// object and returns true at the end of the pipe.
//
// Context: task; not pinned.
func (s *session) age(o *object, r *rand.Rand) bool {
	s.deliver(o)
	i := min(o.pipe.Load(), pipeLen)
	s.wcount[i].Add(1)
	o.pipe.Store(i + 1)
	if i+1 < pipeLen {
		return false
	}
	o.mbtest.Store(0)
	s.frees.Add(1)
	s.live.Add(-1)
	if r.Uint32()&3 == 0 {
		s.cache.FreeRCU(o)
	} else {
		s.cache.Free(o)
	}
	return true
}

// deliver opens the object's mail to every reader: a grace period is over.
func (s *session) deliver(o *object) {
	if o.mail.Load() == mailPosted {
		s.box.Store(&mailbox{o.mailReader, o.mailLoops})
		o.mail.Store(mailEmpty)
	}
}

// writer is the one thread that publishes objects.
type writer struct {
	s       *session
	rng     *rand.Rand
	raw     lock.Raw
	ways    []int
	removed []*object // they age with every grace period that the writer waits for
}

func (w *writer) run() {
	s := w.s
	for !s.stop.Load() {
		s.state("FIXED_DELAY")
		spin(time.Duration(w.rng.IntN(10)) * time.Microsecond)
		o := s.allocate(w.rng)
		if o == nil {
			s.allocFailed.Add(1)
			// Objects of the pipe age anyway, or it would stay full.
			w.wait(bySync)
			w.ageRemoved()
			s.pause()
			continue
		}
		s.allocs.Add(1)
		o.pipe.Store(0)
		o.mail.Store(mailEmpty)
		o.gen.Store(s.allocs.Load())
		o.mbtest.Store(1)
		s.state("DELAY")
		spin(time.Duration(w.rng.IntN(1024)) * time.Microsecond / 4)
		s.state("REPLACE")
		old := s.current.Swap(o)
		if old != nil {
			s.wcount[0].Add(1)
			old.pipe.Store(1)
			w.dispose(old)
		}
		s.version.Add(1)
		s.state("STUTTER")
		s.pause()
	}
	s.state("STOPPING")
}

// dispose makes a removed object age, or frees it by RCU.
func (w *writer) dispose(old *object) {
	s := w.s
	way := w.ways[w.rng.IntN(len(w.ways))]
	if s.p.plantUAF && w.rng.IntN(8) == 0 {
		s.planted.Add(1)
		s.frees.Add(1)
		s.live.Add(-1)
		s.cache.Free(old)
		return
	}
	s.turns[way].Add(1)
	switch way {
	case byCall:
		s.state("DEF_FREE")
		s.async.Add(1)
		rng := s.random("callback", int(s.allocs.Load()))
		run(w.rng.IntN(contexts), &w.raw, func() { s.callAge(old, rng) })
	case byFree:
		s.state("FREE_RCU")
		s.frees.Add(1)
		s.live.Add(-1)
		run(w.rng.IntN(contexts), &w.raw, func() { s.freeRCU(old) })
	default:
		w.removed = append(w.removed, old)
		w.wait(way)
		w.ageRemoved()
	}
}

func (w *writer) wait(way int) {
	w.s.state(wayNames[way])
	w.s.waitGP(way, w.rng)
}

// ageRemoved is called after each grace period that the writer waited for.
func (w *writer) ageRemoved() {
	left := w.removed[:0]
	for _, o := range w.removed {
		if !w.s.age(o, w.rng) {
			left = append(left, o)
		}
	}
	w.removed = left
}

// callAge ages the object by callbacks until it is freed.
//
// Context: any.
func (s *session) callAge(o *object, r *rand.Rand) {
	s.ops.call(func() {
		s.callbacks.Add(1)
		if s.age(o, r) {
			s.async.Add(-1)
			return
		}
		s.callAge(o, r)
	})
}

// freeRCU frees a removed object.
//
// Context: any.
func (s *session) freeRCU(o *object) {
	if s.ops.freeRCUIsFree {
		s.cache.Free(o)
		return
	}
	s.cache.FreeRCU(o)
}

// waitGP waits for a grace period and checks cookies against it.
//
// Context: task; not pinned, and outside of sections.
func (s *session) waitGP(way int, r *rand.Rand) {
	before := s.ops.get()
	switch way {
	case bySync:
		s.ops.sync()
	case byExp:
		s.ops.exp()
	case byCond, byCondExp:
		c := s.ops.get()
		spin(time.Duration(r.IntN(100)) * time.Microsecond)
		if way == byCond {
			s.ops.cond(c)
		} else {
			s.ops.condExp(c)
		}
	case byPoll:
		c := s.ops.start()
		for !s.ops.poll(c) {
			time.Sleep(time.Duration(10+r.IntN(100)) * time.Microsecond)
		}
	default: // no way to wait of its own
		s.ops.sync()
	}
	if !s.ops.poll(before) {
		s.cookieErrors.Add(1)
	}
}

// fakeWriter requests grace periods and barriers and has no objects.
func (s *session) fakeWriter(id int) {
	r := s.random("fakewriter", id)
	chosen := s.p.chosen()
	var raw lock.Raw
	for !s.stop.Load() {
		time.Sleep(time.Duration(r.IntN(10)) * time.Microsecond)
		way := chosen[r.IntN(len(chosen))]
		switch {
		case r.IntN(8*max(s.p.nfakewriters, 1)) == 0:
			s.ops.barrier()
		case way == byCall || way == byFree:
			done := make(chan struct{})
			run(r.IntN(contexts), &raw, func() { s.ops.call(func() { close(done) }) })
			<-done
		default:
			s.waitGP(way, r)
		}
		s.fakes.Add(1)
		s.pause()
	}
}
