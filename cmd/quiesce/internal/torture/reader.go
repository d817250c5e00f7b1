package torture

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"quiesce/preempt"
	"quiesce/rcu"
)

// counter is written by one goroutine and read by others.
type counter struct{ atomic.Uint64 }

func (c *counter) inc() { c.Store(c.Load() + 1) }

// What a reader can find wrong.
const (
	wrongAge = iota
	wrongBatch
	wrongMark
	wrongGen
	wrongMail
	wrongCookie
	wrongStamp
	wrongs
)

var wrongNames = [wrongs]string{
	"an object of age above 1 in a section (pipe)",
	"more than one grace period ended in a section (batch)",
	"an unmarked object in a section (rtmbe)",
	"an object became another one in a section (reused)",
	"what was seen before a grace period is not seen after it (rtmbkf)",
	"a cookie of the section's own time is done before its end",
	"a stamped object changed in a section (kfree)",
}

// tally is what one thread of readers counted.
type tally struct {
	reads, handed, irqs counter
	mailTries, kreads   counter
	pipe, batch         [pipeLen + 1]counter
	wrong               [wrongs]counter
	first               [wrongs]sample // written before wrong becomes 1
	_                   [64]byte
}

// sample is the first one of a kind: what was expected, what was there.
type sample struct {
	want, got uint64
	gp, gpEnd uint64
	plan      plan
	inIRQ     bool
}

func (t *tally) note(kind int, want, got uint64, v *view, pl *plan) {
	if t.wrong[kind].Load() == 0 {
		t.first[kind] = sample{want: want, got: got, gp: v.gp, gpEnd: v.end, inIRQ: pl == nil}
		if pl != nil {
			t.first[kind].plan = *pl
		}
	}
	t.wrong[kind].inc()
}

// view is what a section saw at its beginning.
type view struct {
	gp, end uint64
	obj     *object
	gen     uint64
	asked   bool
	cookie  rcu.Cookie
	kobj    *kobj
	kid     uint64
	kwhere  uint32
}

// reader is a thread that reads. Its loops counter is plain: see mailbox.
type reader struct {
	s       *session
	id      int
	rng     *rand.Rand
	irqRNG  *rand.Rand
	seenBox *mailbox
	plan    plan
	hold    hold
	view    view
	body    func() // the method, made once
	irq     func()
	t       tally

	_     [64]byte
	loops uint64
	_     [64]byte
}

func newReader(s *session, name string, id int) *reader {
	r := &reader{s: s, id: id, rng: s.random(name, id), irqRNG: s.random(name+"-irq", id)}
	r.body, r.irq = r.section, r.irqSection
	r.hold.init()
	return r
}

func (r *reader) run() {
	for n := 0; !r.s.stop.Load(); n++ {
		r.once()
		if n&63 == 0 {
			if r.s.p.irqreader && r.s.p.extendables&extHardirq != 0 {
				preempt.Hardirq(r.irq)
			}
			r.hold.renew(n&64 == 0)
			r.s.rest(r.id)
		}
	}
}

// once is one section.
func (r *reader) once() {
	r.plan.draw(r.rng, &r.s.p, r.s.nreaders)
	switch r.plan.wrap {
	case extHardirq:
		preempt.Hardirq(r.body)
	case extBH:
		preempt.Softirq(r.body)
	default:
		r.section()
	}
}

// section executes the plan.
func (r *reader) section() {
	pl, h := &r.plan, &r.hold
	shared := &r.s.raws[pl.raw%(2*len(r.s.raws))%len(r.s.raws)].Raw
	if pl.raw%(2*len(r.s.raws)) >= len(r.s.raws) {
		shared = nil
	}
	h.within(pl.wrap)
	for i := range pl.n {
		s := &pl.step[i]
		h.change(s.mask, s.down, shared)
		if i == 0 {
			r.s.begin(&r.view, &r.t, r.rng)
			r.mail(r.rng)
		}
		if s.delay != noDelay {
			r.dawdle(s)
		}
	}
	if pl.hand {
		h.held = 0
		r.t.handed.inc()
		r.s.hands <- handed{h.guard, r.view}
		return
	}
	r.s.finish(&r.view, &r.t, pl)
	h.change(0, pl.step[0].down, nil)
}

func (r *reader) dawdle(s *step) {
	switch s.delay {
	case shortDelay:
		spin(shortDelayUS * time.Microsecond)
	case longDelay:
		d := time.Duration(r.s.p.longDelay * float64(time.Millisecond))
		if r.plan.wrap != 0 || s.mask&extIRQ != 0 {
			d = min(d, irqDelayMS*time.Millisecond)
		}
		if !r.s.nodelay.Load() {
			spin(d)
		}
	case gosched:
		yield()
	case nap:
		time.Sleep(napMS * time.Millisecond)
	case irqRead:
		preempt.Hardirq(r.irq)
	}
}

// irqSection is a whole reader in a handler. It may interrupt section, so it
// has a view and a generator of its own.
func (r *reader) irqSection() {
	var v view
	r.t.irqs.inc()
	r.s.begin(&v, &r.t, r.irqRNG)
	if r.irqRNG.Uint32()&63 == 0 {
		spin(2 * time.Microsecond)
	}
	r.s.finish(&v, &r.t, nil)
}

// begin reads what is published.
//
// Context: any, inside of a section.
func (s *session) begin(v *view, t *tally, rng *rand.Rand) {
	*v = view{gp: s.ops.completed()}
	x := rng.Uint64()
	if v.asked = x&7 == 0; v.asked {
		v.cookie = s.ops.get()
	}
	if v.obj = s.current.Load(); v.obj != nil {
		v.gen = v.obj.gen.Load()
		if v.obj.mbtest.Load() == 0 {
			t.note(wrongMark, 1, 0, v, nil)
		}
	}
	s.kbegin(v, t, uint32(x>>32))
}

// finish reads it again, still inside of the section.
func (s *session) finish(v *view, t *tally, pl *plan) {
	t.reads.inc()
	v.end = s.ops.completed()
	if v.kobj != nil {
		s.kfinish(v, t, pl)
	}
	age := uint64(0)
	if v.obj != nil {
		age = min(uint64(v.obj.pipe.Load()), pipeLen)
		mark, gen := v.obj.mbtest.Load(), v.obj.gen.Load()
		if age > 1 {
			t.note(wrongAge, 1, age, v, pl)
		}
		if mark == 0 {
			t.note(wrongMark, 1, 0, v, pl)
		}
		if gen != v.gen {
			t.note(wrongGen, v.gen, gen, v, pl)
			age = pipeLen
		}
		t.pipe[age].inc()
	}
	// Last of all: what ends after it ends after what is above.
	v.end = s.ops.completed()
	b := min(v.end-v.gp, pipeLen)
	t.batch[b].inc()
	if b > 1 {
		t.note(wrongBatch, 1, v.end-v.gp, v, pl)
	}
	if v.asked && s.ops.poll(v.cookie) {
		t.note(wrongCookie, uint64(v.cookie), v.end, v, pl)
	}
}

// handsMost bounds the guards on their way to another goroutine: until they
// arrive, lockdep counts them as the giver's, which may hold 48.
const handsMost = 32

// handed is a section that continues on another goroutine.
type handed struct {
	guard rcu.Guard
	view  view
}

// takeOver ends the sections that readers handed over.
func (s *session) takeOver(t *tally, rng *rand.Rand) {
	pl := plan{n: 1, hand: true}
	pl.step[0].mask = extRCU
	for h := range s.hands {
		h.guard.Adopt()
		switch rng.Uint32() & 15 {
		case 0:
			yield()
		case 1:
			spin(shortDelayUS * time.Microsecond)
		}
		s.finish(&h.view, t, &pl)
		h.guard.Unlock()
	}
}

// A mailbox is a test of guarantee (R-C): a reader notes, in the object that it
// found, how far another reader's counter of loops was. After a grace period
// every thread must see it that far at least. The counters are plain words, so
// that nothing but the grace period orders the two reads.
type mailbox struct {
	reader uint32
	loops  uint64
}

// mail steps on this reader's counter, writes into the object's mailbox, and
// checks a mailbox whose grace period is over. Inside of the section.
//
//go:norace
func (r *reader) mail(rng *rand.Rand) {
	r.loops++
	s, obj := r.s, r.view.obj
	if len(s.readers) < 2 {
		return
	}
	if other := rng.IntN(len(s.readers)); obj != nil && other != r.id && obj.mail.CompareAndSwap(mailEmpty, mailBusy) {
		obj.mailReader = uint32(other)
		obj.mailLoops = s.readers[other].loops
		obj.mail.Store(mailPosted)
	}
	if b := s.box.Load(); b != nil && b != r.seenBox {
		r.seenBox = b
		r.t.mailTries.inc()
		if n := s.readers[b.reader].loops; n < b.loops {
			r.t.note(wrongMail, b.loops, n, &r.view, &r.plan)
		}
	}
}

// readExit starts readers that read once and exit, in bursts.
func (s *session) readExit() {
	for n := 0; !s.stop.Load(); {
		for range s.p.readExitBurst {
			if s.stop.Load() {
				return
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				r := newReader(s, "read-exit", n)
				r.id = -1
				r.once()
				s.exits.add(&r.t)
				if n&1 == 0 {
					r.hold.reg.Close() // else the garbage collector does
				}
			}()
			<-done
			n++
			s.nExits.Add(1)
		}
		s.sleep(seconds(s.p.readExitDelay))
	}
}

// rest is where reader id pauses: while all threads do, and when it was
// shuffled out.
func (s *session) rest(id int) {
	for s.resting.Load() == int32(id) && !s.stop.Load() {
		time.Sleep(time.Millisecond)
	}
	s.pause()
}
