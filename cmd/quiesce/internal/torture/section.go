package torture

import (
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit/pinned"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
)

// A plan describes a read-side section: what it runs in, and its steps, each
// with the protections held during it and a delay. Between two steps the new
// protections begin before the old ones end, as in hand-over-hand locking.
//
// What the library promises, and so what a plan keeps to unless
// extend_flavours is set: a ReadLock protects what was loaded under it until
// its own Unlock; pinned sections that overlap on a P are one section. So
// either the guard, or the section of the Reader, stays for the whole section, or
// every step has something pinned in it.
type plan struct {
	wrap int // extHardirq, extBH or 0
	n    int
	hand bool // the guard goes to another goroutine at the end
	raw  int  // which of the shared locks to try
	step [maxSteps]step
}

type step struct {
	mask  int
	down  bool // protections begin and end from the highest bit
	delay delay
}

const maxSteps = 8

type delay uint8

const (
	noDelay delay = iota
	shortDelay
	longDelay
	gosched
	nap
	irqRead // a reader in a Hardirq handler, which may have to wait for its turn
)

const (
	extPinned = extIRQ | extPreempt | extRaw
	extStays  = extRCU | extReader
	extTokens = extPinned | extStays
)

// Reader delays: the kernel's lengths and odds.
const (
	shortDelayUS = 200
	irqDelayMS   = 5 // of the long delay in handlers
	napMS        = 10
)

// draw makes a plan. It depends on nothing but its arguments.
func (pl *plan) draw(r *rand.Rand, p *params, nreaders int) {
	tokens := p.extendables & extTokens
	pl.wrap, pl.hand, pl.n = 0, false, 1
	x := r.Uint64()
	if p.extendables&extHardirq != 0 && (x&7 == 0 || tokens == 0) {
		pl.wrap = extHardirq
	} else if p.extendables&extBH != 0 && x&7 == 1 {
		pl.wrap = extBH
	}
	if x>>3&3 == 0 {
		pl.n = 1 + int(x>>5%maxSteps)
	}
	pl.raw = int(x >> 16 & 0xff)
	base := oneBit(r, tokens)
	for i := range pl.n {
		s := &pl.step[i]
		y := r.Uint64()
		if y&7 == 0 {
			s.mask = int(y>>8) & tokens
		} else {
			s.mask = oneBit(r, tokens)
		}
		s.down = y>>3&1 != 0
		switch {
		case pl.wrap == extHardirq: // the handler protects
		case p.extendFlavours:
			if s.mask == 0 {
				s.mask = base
			}
		case base&extStays != 0 || s.mask&extPinned == 0:
			s.mask |= base
		}
		s.delay = pl.drawDelay(r, p, s.mask, nreaders)
	}
	last := &pl.step[pl.n-1]
	if p.extendables&extHand != 0 && pl.wrap == 0 && base == extRCU && x>>24&63 == 0 {
		pl.hand = true
		last.mask = extRCU
		last.delay = noDelay
	}
}

// oneBit picks one of the bits of mask.
func oneBit(r *rand.Rand, mask int) int {
	if mask == 0 {
		return 0
	}
	for n := r.IntN(32); ; n-- {
		for b := 1; b <= mask; b <<= 1 {
			if mask&b != 0 {
				if n <= 0 {
					return b
				}
				n--
			}
		}
	}
}

// pinned reports whether a step with these protections is pinned.
func (pl *plan) pinned(mask int, rt bool) bool {
	return pl.wrap == extHardirq || mask&extPinned != 0 || pl.wrap == extBH && !rt
}

func (pl *plan) drawDelay(r *rand.Rand, p *params, mask, nreaders int) delay {
	one := func(in float64) bool { return r.Uint64N(uint64(max(in, 1))) == 0 }
	n := float64(nreaders)
	pinned := pl.pinned(mask, p.preemptRT)
	switch {
	case one(n * 2000 * max(p.longDelay, 1)):
		return longDelay
	case one(n * 2 * shortDelayUS):
		return shortDelay
	case !pinned && one(n*500):
		return gosched
	case p.sleepers && !pinned && pl.wrap == 0 && one(n*2*napMS*1000/8):
		return nap
	case p.irqreader && p.extendables&extHardirq != 0 && one(64):
		return irqRead
	}
	return noDelay
}

// String describes a plan for a message.
func (pl *plan) String() string {
	var b strings.Builder
	switch pl.wrap {
	case extHardirq:
		b.WriteString("Hardirq: ")
	case extBH:
		b.WriteString("Softirq: ")
	}
	for i := range pl.n {
		if i > 0 {
			b.WriteString(" → ")
		}
		sep := ""
		for _, f := range []struct {
			bit  int
			name string
		}{{extRCU, "ReadLock"}, {extReader, "Reader"}, {extPreempt, "Disable"}, {extIRQ, "DisableIRQ"}, {extRaw, "Raw"}} {
			if pl.step[i].mask&f.bit != 0 {
				b.WriteString(sep + f.name)
				sep = "+"
			}
		}
		b.WriteString([]string{"", " 200us", " long", " Gosched", " sleep", " irq"}[pl.step[i].delay])
	}
	if pl.hand {
		b.WriteString(" → handed over")
	}
	return b.String()
}

// hold has the protections of one goroutine.
type hold struct {
	held  int
	guard rcu.Guard
	reg   *rcu.Reader
	byReg bool // reg's own Unlock ends the section, not its guard's
	rg    rcu.Guard
	pin   preempt.Pinned
	irq   preempt.IRQState
	raw   *lock.Raw
	own   [3]lock.Raw // where the shared one is taken: in a task, in Softirq, in Hardirq
	in    int         // which of own
}

// renew registers a new Reader for the sections to come. The old one is closed, or
// left to the garbage collector.
//
// Context: task; in no section.
func (h *hold) renew(drop bool) {
	if h.reg != nil && !drop {
		h.reg.Close()
	}
	h.reg = rcu.NewReader()
}

// init registers a Reader, and names the classes of own: one that a handler takes must not be held elsewhere
// with interrupts on. The shared ones are not waited for.
func (h *hold) init() {
	h.renew(false)
	for i, in := range []string{"task", "softirq", "hardirq"} {
		h.own[i].Init("torture.own." + in)
	}
}

// within notes the handler that the sections to come are in, if any.
func (h *hold) within(wrap int) {
	switch wrap {
	case extBH:
		h.in = 1
	case extHardirq:
		h.in = 2
	default:
		h.in = 0
	}
}

// change begins what is in to and not held, then ends what is held and not in
// to.
func (h *hold) change(to int, down bool, shared *lock.Raw) {
	bit, on, off := extIRQ, to&^h.held, h.held&^to
	if down {
		bit = extReader
	}
	for b := bit; b >= extIRQ && b <= extReader; b = next(b, down) {
		if on&b != 0 {
			h.begin(b, shared)
		}
	}
	for b := bit; b >= extIRQ && b <= extReader; b = next(b, down) {
		if off&b != 0 {
			h.end(b)
		}
	}
	h.held = to
}

func next(b int, down bool) int {
	if down {
		return b >> 1
	}
	return b << 1
}

func (h *hold) begin(b int, shared *lock.Raw) {
	switch b {
	case extRCU:
		h.guard = rcu.ReadLock()
	case extReader:
		h.rg = h.reg.ReadLock()
		h.byReg = !h.byReg
	case extPreempt:
		h.pin = preempt.Disable()
	case extIRQ:
		h.irq = preempt.DisableIRQ()
	case extRaw:
		own := &h.own[h.in]
		h.raw = own
		if shared != nil && shared.TryLock() {
			h.raw = shared
			return
		}
		own.Lock()
	}
}

func (h *hold) end(b int) {
	switch b {
	case extRCU:
		h.guard.Unlock()
	case extReader:
		if h.byReg {
			h.reg.Unlock()
		} else {
			h.rg.Unlock()
		}
	case extPreempt:
		h.pin.Enable()
	case extIRQ:
		h.irq.Restore()
	case extRaw:
		h.raw.Unlock()
	}
}

// spin passes time and yields nothing.
//
// Context: any.
func spin(d time.Duration) {
	for end := sys.Nanotime() + int64(d); sys.Nanotime() < end; {
		sys.Pause(10)
	}
}

// Contexts in which updaters free and call back.
const (
	inTask = iota
	inRaw
	inPreempt
	inIRQ
	inHardirq
	inSoftirq
	inReader // preemptible, but within a ReadLock: no waiting for grace periods
	contexts
)

var contextNames = [contexts]string{"plain", "raw_lock", "preempt_disabled", "irq_disabled", "hardirq", "softirq", "reader"}

// atomicContext reports whether c is one in which nothing may sleep.
func atomicContext(c int) bool {
	return c >= inRaw && c <= inHardirq || c == inSoftirq && !preempt.RT()
}

// run calls op in context c, with l to be held in a raw one. op must keep the
// rules of that context.
func run(c int, l *lock.Raw, op func()) {
	switch c {
	case inTask:
		op()
	case inRaw:
		l.Lock()
		op()
		l.Unlock()
	case inPreempt:
		pinned.Preempt(op)
	case inIRQ:
		pinned.IRQ(op)
	case inHardirq:
		preempt.Hardirq(op)
	case inSoftirq:
		preempt.Softirq(op)
	case inReader:
		g := rcu.ReadLock()
		op()
		g.Unlock()
	}
}

func yield() { runtime.Gosched() }
