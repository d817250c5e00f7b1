package depcheck

// The bits of class.usage: for each kind of interrupt, whether locks of the
// class were taken in its handlers ("safe", as a promise that has to be kept),
// and whether they were held while it was enabled ("unsafe"); for writers and
// for readers. In handlers it counts how a lock is waited for, and a reader
// that is not recursive waits as a writer does: behind a writer in the line, who
// waits for readers. Elsewhere it counts how it is held.
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

// against returns the bits that a class must not have beside these: "on" for
// "in" and the other way round; both kinds for a writer, writers for a reader,
// since a recursive reader waits for no reader.
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

// againstPath is against for two classes that a path of orders joins: both
// kinds always. That the first one's handler waits for no reader of it, or the
// last one is held as shared, matters only to a path that starts or ends so,
// which is what the search's restricted steps are about (irqBits).
func againstPath(bits uint32) (no uint32) {
	for b := range uint32(8) {
		if bits&(1<<b) != 0 {
			other := b ^ bitOn
			no |= 1<<other | 1<<(other^bitRead)
		}
	}
	return no
}

// markUsage sets the bits that an acquisition says something about. The
// kernel's mark_usage.
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

// overridden reports whether what is held in this interrupt context says that
// the context is another one than it looks. Locks that are taken under it are
// then not taken in a handler.
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

// mark sets bits of the record's class, and checks those that are new.
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
		c.trace[b] = r.intern(r.pcs[:r.n])
		if b >= bitUsed {
			continue
		}
		if b&bitOn == 0 {
			tables.irqUsed = true
		}
		r.checkUsage(t, h, b, old)
		tables.search.spread(h.class, 1<<b)
	}
	tables.graph.unlock()
}

// checkUsage checks a new bit of the record's class: against what the class was
// before, and against the classes behind a lock that is used in interrupts, or
// in front of one that is held with interrupts on. The kernel's mark_lock_irq.
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
	// The start is restricted as in any other search. PerCPU and override
	// types are not looked at.
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

// What a search for irq-safe classes before a class, and for irq-unsafe ones
// behind it, can find at most is summed up in its safe and open, whichever way
// the paths are. In a right program that is next to never in conflict, so a new
// order needs no search. There are four bits of each kind, so a class is
// passed at most eight times in its life. graph is held.

// spread has the new bits of a class known where they count.
//
//go:norace
func (s *search) spread(class uint16, bits uint32) {
	if tables.classes[class].ty.Kind == Normal {
		s.spreadSafe(class, bits&usedIn)
		s.spreadOpen(class, bits&usedOn)
	}
}

// joined is spread for a new edge.
//
//go:norace
func (s *search) joined(from, to uint16) {
	a, b := &tables.classes[from], &tables.classes[to]
	if in := a.before() &^ b.safe; in != 0 {
		b.safe |= in
		s.spreadSafe(to, in)
	}
	if on := b.behind() &^ a.open; on != 0 {
		a.open |= on
		s.spreadOpen(from, on)
	}
}

// before are the bits of the class and of those that lead to it, behind those
// of the class and of those behind it. Only normal types count, and pass on.
//
//go:norace
func (c *class) before() uint32 {
	if c.ty.Kind != Normal {
		return 0
	}
	return c.safe | c.usage.Load()&usedIn
}

//go:norace
func (c *class) behind() uint32 {
	if c.ty.Kind != Normal {
		return 0
	}
	return c.open | c.usage.Load()&usedOn
}

//go:norace
func (s *search) spreadSafe(class uint16, in uint32) {
	if in == 0 {
		return
	}
	s.queue = append(s.queue[:0], step{class: class})
	for i := 0; i < len(s.queue); i++ {
		c := &tables.classes[s.queue[i].class]
		if c.ty.Kind != Normal {
			continue
		}
		for e := c.fwd; e != 0; e = tables.edges[e].nextFwd {
			to := tables.edges[e].to
			if next := &tables.classes[to]; in&^next.safe != 0 {
				next.safe |= in
				s.queue = append(s.queue, step{class: to})
			}
		}
	}
}

//go:norace
func (s *search) spreadOpen(class uint16, on uint32) {
	if on == 0 {
		return
	}
	s.queue = append(s.queue[:0], step{class: class})
	for i := 0; i < len(s.queue); i++ {
		c := &tables.classes[s.queue[i].class]
		if c.ty.Kind != Normal {
			continue
		}
		for e := c.bwd; e != 0; e = tables.edges[e].nextBwd {
			from := tables.edges[e].from
			if next := &tables.classes[from]; on&^next.open != 0 {
				next.open |= on
				s.queue = append(s.queue, step{class: from})
			}
		}
	}
}

// irqBits are the bits of a class that count on a path. One that is reached as
// a reader only clashes with writers.
//
//go:norace
func (c *class) irqBits(st step) uint32 {
	u := c.usage.Load()
	if st.restricted != 0 {
		u &= writeOnly
	}
	return u
}

// checkIrqOrder reports an order that would lead from a lock used in interrupts
// to one that is held with them on: record i, or what is before it, and r.h or
// what is behind it. The kernel's check_irq_usage.
//
//go:norace
func (r *request) checkIrqOrder(t *task, i int32) bool {
	tb := &tables
	if !tb.irqUsed {
		return false
	}
	p, h := t.at(i), &r.h
	if againstPath(tb.classes[p.class].before())&tb.classes[h.class].behind() == 0 {
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
			unsafe, behind := st, s.path(st, true)
			return r.findSafe(t, i, unsafe, behind, hit)
		}
		s.forward(st)
	}
	return false
}

// findSafe finds which class at or before record i clashes with the one that
// was found behind r.h, and reports the two.
//
//go:norace
func (r *request) findSafe(t *task, i int32, unsafe step, behind []uint32, hit uint32) bool {
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
				r.reportIrqOrder(t, i, st.class, in, s.path(st, false), unsafe.class, lowest(clash), behind)
				return true
			}
		}
		s.backward(st)
	}
	return false
}

//go:norace
func lowest(bits uint32) uint32 {
	for b := range uint32(32) {
		if bits&(1<<b) != 0 {
			return b
		}
	}
	return 0
}
