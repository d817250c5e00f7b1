package depcheck

import "math/bits"

// The bits of class.usage. For each kind of interrupt, and for writers and
// readers apart, they say whether a lock of the class was taken in one of its
// handlers ("in": the class is then irq-safe, a promise that has to be kept), and
// whether one was held while it was enabled ("on": irq-unsafe). In a handler it
// matters how the lock is waited for, and a reader that is not recursive waits as
// a writer does: it queues behind a writer, which waits for readers. Elsewhere it
// matters how the lock is held.
//
//	bit 0  in hardirq        bit 4  in softirq
//	bit 1  in hardirq, read  bit 5  in softirq, read
//	bit 2  hardirqs on       bit 6  softirqs on
//	bit 3  hardirqs on, read bit 7  softirqs on, read
//	bit 8  used              bit 9  used, read
const (
	bitRead    = 1
	bitOn      = 2
	bitSoftirq = 4
	bitUsed    = 8
	usageBits  = 10

	usedIn    = 0x33 // all bits of "in"
	usedOn    = 0xcc // all bits of "on"
	writeOnly = 0x55 // all bits of writers
)

// against returns the bits that contradict these in one class: "on" contradicts
// "in" and conversely; a writer's bit contradicts writers and readers, and a
// reader's only writers, because a recursive reader waits for no reader.
func against(bits uint32) (no uint32) {
	for b := range uint32(8) {
		if bits&(1<<b) == 0 {
			continue
		}
		other := b ^ bitOn
		no |= 1 << (other &^ bitRead)
		if b&bitRead == 0 {
			no |= 1 << (other | bitRead)
		}
	}
	return no
}

// againstPath is against for two classes that a path of orders joins: writers and
// readers always contradict each other. That the first class's handler waits for
// no reader, or that the last class is held as shared, matters only to a path
// that starts or ends so, which the search's restricted steps take care of
// (irqBits).
func againstPath(bits uint32) (no uint32) {
	for b := range uint32(8) {
		if bits&(1<<b) != 0 {
			other := b ^ bitOn
			no |= 1<<other | 1<<(other^bitRead)
		}
	}
	return no
}

// markUsage sets the bits of an acquisition.
//
// Linux: mark_usage.
//
//go:norace
func (r *request) markUsage(t *task) { r.mark(t, &r.h, t.usageOf(&r.h)) }

// usageOf are the bits of an acquisition.
//
//go:norace
func (t *task) usageOf(h *held) uint32 {
	read := uint32(0)
	if h.read != readNone {
		read = bitRead
	}
	bits := uint32(1) << (bitUsed + read)
	if h.flags&flagTried == 0 && (h.ctx == 0 || !t.overridden()) {
		waits := uint32(bit(h.read == readRecursive)) // bitRead, or as a writer
		if h.ctx&ctxHardirq != 0 {
			bits |= 1 << waits
		}
		if h.ctx&ctxSoftirq != 0 {
			bits |= 1 << (bitSoftirq + waits)
		}
	}
	if t.irqsOff == 0 && h.ctx&ctxHardirq == 0 {
		bits |= 1 << (bitOn + read)
		if t.bhOff == 0 && h.ctx == 0 {
			bits |= 1 << (bitSoftirq + bitOn + read)
		}
	}
	return bits
}

// overridden reports whether a WaitOverride annotation is held in this interrupt
// context. It says that no handler is running, so locks that are taken under it
// are not taken in one.
//
//go:norace
func (t *task) overridden() bool {
	ctx := t.context()
	for i := t.depth - 1; i >= 0 && t.at(i).ctx == ctx; i-- {
		if tables.classes[t.at(i).class].ty.Kind == WaitOverride {
			return true
		}
	}
	return false
}

// mark sets bits of the record's class and checks those that are new.
//
//go:norace
func (r *request) mark(t *task, h *held, bits uint32) {
	c := &tables.classes[h.class]
	if bits&^c.usage.Load() == 0 {
		return
	}
	tables.graph.lock()
	if !t.current() {
		bits = 0
	}
	for b := range uint32(usageBits) {
		old := c.usage.Load()
		if bits&^old&(1<<b) == 0 {
			continue
		}
		c.usage.Store(old | 1<<b)
		c.trace[b] = r.internLocked(r.pcs[:r.n])
		if b >= bitUsed {
			continue
		}
		if b&bitOn == 0 {
			tables.irqUsed = true
		}
		r.checkUsage(t, h, b, old)
		tables.search.spread(h.class, 1<<b, b&bitOn == 0)
	}
	tables.graph.unlock()
}

// checkUsage checks a new bit of the record's class: against the class's older
// bits, and against those of the classes that follow it, if it became irq-safe,
// or that lead to it, if it became irq-unsafe.
//
// Linux: mark_lock_irq.
//
//go:norace
func (r *request) checkUsage(t *task, h *held, b, old uint32) {
	no := against(1 << b)
	if old&no != 0 {
		r.reportUsage(t, h, b, lowest(old&no))
		return
	}
	c := &tables.classes[h.class]
	no = againstPath(1 << b)
	if !tables.irqUsed || (c.safe|c.open)&no == 0 {
		return
	}
	s := &tables.search
	forward := b&bitOn == 0
	// The start is restricted as in any other search. PerCPU and override types
	// are skipped.
	if forward {
		s.begin(h.class, h.read == readRecursive)
	} else {
		s.begin(h.class, h.read != readNone)
	}
	for i := 0; i < len(s.queue); i++ {
		st := s.queue[i]
		c := &tables.classes[st.class]
		if c.ty.Kind != Normal {
			continue
		}
		if hit := c.irqBits(st) & no; hit != 0 && i > 0 {
			r.reportInversion(t, h, b, lowest(hit), st, forward)
			return
		}
		if forward {
			s.forward(st)
		} else {
			s.backward(st)
		}
	}
}

// Each class sums up what a search from it can find at most: in safe the "in"
// bits of the classes that lead to it, in open the "on" bits of those that follow
// it, whichever way the paths are. In a right program the two hardly ever
// contradict each other, so a new order needs no search. There are four bits of
// each sum, so a class is visited at most eight times in its life. In what
// follows forward means along the orders, as "in" bits travel; "on" bits travel
// backward. Only normal types count, and pass bits on. graph is held.

// sum is the class's sum of the bits that travel that way.
//
//go:norace
func (c *class) sum(forward bool) *uint32 {
	if forward {
		return &c.safe
	}
	return &c.open
}

// passes returns the bits that travel that way from the class: its sum, and its
// own bits.
//
//go:norace
func (c *class) passes(forward bool) uint32 {
	own := uint32(usedOn)
	if forward {
		own = usedIn
	}
	if c.ty.Kind != Normal {
		return 0
	}
	return *c.sum(forward) | c.usage.Load()&own
}

// first is the class's first edge that way; far is that edge's other class, and
// the next edge.
//
//go:norace
func (c *class) first(forward bool) uint32 {
	if forward {
		return c.fwd
	}
	return c.bwd
}

//go:norace
func (e *edge) far(forward bool) (class uint16, next uint32) {
	if forward {
		return e.to, e.nextFwd
	}
	return e.from, e.nextBwd
}

// joined updates the sums for a new edge.
//
//go:norace
func (s *search) joined(from, to uint16) {
	s.pass(from, to, true)
	s.pass(to, from, false)
}

// pass updates the sums for the bits that travel from one class to another.
//
//go:norace
func (s *search) pass(from, to uint16, forward bool) {
	sum := tables.classes[to].sum(forward)
	if bits := tables.classes[from].passes(forward) &^ *sum; bits != 0 {
		*sum |= bits
		s.spread(to, bits, forward)
	}
}

// spread adds bits of the class to the sums of all classes that way.
//
//go:norace
func (s *search) spread(class uint16, bits uint32, forward bool) {
	s.queue = append(s.queue[:0], step{class: class})
	for i := 0; i < len(s.queue); i++ {
		c := &tables.classes[s.queue[i].class]
		if c.ty.Kind != Normal {
			continue
		}
		for n := c.first(forward); n != 0; {
			far, next := tables.edges[n].far(forward)
			if sum := tables.classes[far].sum(forward); bits&^*sum != 0 {
				*sum |= bits
				s.queue = append(s.queue, step{class: far})
			}
			n = next
		}
	}
}

// irqBits are the bits of a class that count on a path. A class that is reached
// as a reader contradicts only writers.
//
//go:norace
func (c *class) irqBits(st step) uint32 {
	u := c.usage.Load()
	if st.restricted != 0 {
		u &= writeOnly
	}
	return u
}

// checkIrqOrder reports an order that would lead from an irq-safe class, that of
// record i or one that leads to it, to an irq-unsafe one, that of r.h or one that
// follows it.
//
// Linux: check_irq_usage.
//
//go:norace
func (r *request) checkIrqOrder(t *task, i int32) bool {
	tb := &tables
	if !tb.irqUsed {
		return false
	}
	p, h := t.at(i), &r.h
	if againstPath(tb.classes[p.class].passes(true))&tb.classes[h.class].passes(false) == 0 {
		return false
	}
	s := &tb.search
	in := uint32(0)
	s.begin(p.class, p.read != readNone)
	for j := 0; j < len(s.queue); j++ {
		st := s.queue[j]
		if c := &tb.classes[st.class]; c.ty.Kind == Normal {
			in |= c.irqBits(st) & usedIn
			s.backward(st)
		}
	}
	no := againstPath(in)
	if no == 0 {
		return false
	}
	s.begin(h.class, h.read == readRecursive)
	for j := 0; j < len(s.queue); j++ {
		st := s.queue[j]
		c := &tb.classes[st.class]
		if c.ty.Kind != Normal {
			continue
		}
		if hit := c.irqBits(st) & no; hit != 0 {
			unsafe, after := st, s.path(st, true)
			return r.findSafe(t, i, unsafe, after, hit)
		}
		s.forward(st)
	}
	return false
}

// findSafe finds the class at or before record i that contradicts the one that
// was found at or after r.h, and reports the two.
//
//go:norace
func (r *request) findSafe(t *task, i int32, unsafe step, after []uint32, hit uint32) bool {
	p := t.at(i)
	s := &tables.search
	s.begin(p.class, p.read != readNone)
	for j := 0; j < len(s.queue); j++ {
		st := s.queue[j]
		c := &tables.classes[st.class]
		if c.ty.Kind != Normal {
			continue
		}
		for rest := c.irqBits(st) & usedIn; rest != 0; rest &= rest - 1 {
			in := lowest(rest)
			if clash := againstPath(1<<in) & hit; clash != 0 {
				r.reportIrqOrder(t, i, st.class, in, s.path(st, false), unsafe.class, lowest(clash), after)
				return true
			}
		}
		s.backward(st)
	}
	return false
}

// lowest is the number of the lowest bit that is set.
//
//go:norace
func lowest(set uint32) uint32 { return uint32(bits.TrailingZeros32(set)) }
