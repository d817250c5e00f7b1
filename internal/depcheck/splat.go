package depcheck

import (
	"runtime"
	"slices"
	"strconv"
)

// The reports, one function each. They have the kernel's lines as far as the facts
// are the same, so that a reader of its reports can read these. The task is
// locked. graph is held by those about orders and usages, which call
// firstTimeLocked; the others call isNew, which takes it.

// isNew is firstTimeLocked for a caller without graph.
//
//go:norace
func (r *request) isNew(kind string, a, b, c uint64) bool {
	tables.graph.lock()
	first := r.firstTimeLocked(kind, a, b, c)
	tables.graph.unlock()
	return first
}

// place identifies the place in the program that a stack leads to: the innermost
// one outside of the library, whose own callers of a hook are few. For a stack
// of the library's alone it is the innermost of all.
//
//go:norace
func place(pcs []uintptr) uint64 {
	if len(pcs) == 0 {
		return 0
	}
	frames := runtime.CallersFrames(slices.Clone(pcs)) // a copy: requests stay on the stack
	for {
		f, more := frames.Next()
		if outside(f) {
			return mix(uint64(f.PC)) ^ uint64(f.Line)
		}
		if !more {
			return uint64(pcs[0])
		}
	}
}

// reportWait: the wait type of the lock is higher than the context or a held lock
// allows.
//
//go:norace
func (r *request) reportWait(t *task, l limit) {
	by := uint64(l.class) | uint64(t.base())<<16 | uint64(bit(l.bare))<<24
	if !r.isNew(InvalidWaitContext, uint64(r.h.class), by, 0) {
		return
	}
	f := r.open(InvalidWaitContext)
	f.about(r.h.class)
	if l.by != noRecord {
		f.about(l.class)
	}
	f.banner("[ BUG: Invalid wait context ]")
	f.wants(&r.h)
	f.say("other info that might help us debug this:\n")
	f.context(t)
	f.end(t, r.pcs[:r.n])
}

// reportSleep: a function that may block is called where nothing may.
//
//go:norace
func (r *request) reportSleep(t *task, l limit, what string) {
	if !r.isNew(Sleeping, place(r.pcs[:r.n]), uint64(l.class), 0) {
		return
	}
	f := r.open(Sleeping)
	if l.by != noRecord {
		f.about(l.class)
	}
	nest, irqsOff, sections := t.atomicity()
	f.say("\nBUG: sleeping function called from invalid context at ")
	f.stack(r.pcs[:r.n], formUser)
	f.say("\n", what, "\n",
		"in_atomic(): ", strconv.Itoa(int(bit(nest > 0))), ", irqs_disabled(): ", strconv.Itoa(int(bit(irqsOff))), ", ", gname(r.goid), "\n",
		"preempt_count: ", strconv.FormatUint(nest, 16), ", expected: 0\n",
		"RCU nest depth: ", strconv.Itoa(sections), ", expected: 0\n")
	f.context(t)
	f.end(t, r.pcs[:r.n])
}

// reportRecursion: the goroutine already holds a lock of the class.
//
//go:norace
func (r *request) reportRecursion(t *task, i int32) {
	p := t.at(i)
	if !r.firstTimeLocked(Recursion, uint64(p.class), uint64(p.read)<<8|uint64(r.h.read), 0) {
		return
	}
	f := r.open(Recursion)
	f.about(r.h.class)
	f.banner("WARNING: possible recursive locking detected")
	f.wants(&r.h)
	f.say("\nbut the goroutine is already holding lock:\n")
	f.lock(p)
	f.say("\n\nother info that might help us debug this:\n Possible unsafe locking scenario:\n\n",
		"       goroutine\n       ----\n  lock(", tables.classes[p.class].title(), ");\n  lock(", tables.classes[p.class].title(), ");\n\n *** DEADLOCK ***\n\n")
	if p.id != r.h.id {
		f.say(" May be due to missing lock nesting notation: Subclass\n\n")
	}
	f.end(t, r.pcs[:r.n])
}

// reportCircle: the order of record i before r.h closes the strong path from r.h's
// class to st that the search has found.
//
//go:norace
func (r *request) reportCircle(t *task, i int32, st step) {
	p, h := t.at(i), &r.h
	if !r.firstTimeLocked(Circular, uint64(p.class), uint64(h.class), 0) {
		return
	}
	path := tables.search.path(st, true)
	f := r.open(Circular)
	f.about(h.class)
	for _, n := range path {
		f.about(tables.edges[n].to)
	}
	f.banner("WARNING: possible circular locking dependency detected")
	f.wants(h)
	f.say("\nbut the goroutine is already holding lock:\n")
	f.lock(p)
	f.say("\n\nwhich lock already depends on the new lock.\n\nthe existing dependency chain (in reverse order) is:\n")
	for j := len(path) - 1; j >= 0; j-- {
		f.edge(path[j], strconv.Itoa(j+1))
	}
	f.say("\n-> #0 ")
	f.class(h.class)
	f.say(", now:\n")
	f.stack(r.pcs[:r.n], formStack)

	from, to := tables.classes[p.class].title(), tables.classes[h.class].title()
	f.say("\nother info that might help us debug this:\n\n")
	if len(path) > 1 {
		f.say("Chain exists of:\n  ", to)
		for _, n := range path {
			f.say(" --> ", tables.classes[tables.edges[n].to].title())
		}
		f.say("\n\n")
	}
	f.say(" Possible unsafe locking scenario:\n\n",
		"       goroutine 1             goroutine 2\n       ----                    ----\n",
		"  lock(", from, ");\n",
		"                               lock(", to, ");\n")
	for j := range len(path) {
		f.say("                               lock(", tables.classes[tables.edges[path[j]].to].title(), ");\n")
	}
	f.say("  lock(", to, ");\n\n *** DEADLOCK ***\n\n")
	f.end(t, r.pcs[:r.n])
}

// edge writes an order that was learned, with both its stacks.
//
//go:norace
func (f *fault) edge(n uint32, number string) {
	e := &tables.edges[n]
	f.say("\n-> #", number, " ")
	f.class(e.to)
	f.say(":\n")
	f.stack(tables.stacks[e.takenAt].pcs[:tables.stacks[e.takenAt].n], formStack)
	f.say("  while (", tables.classes[e.from].title(), ") was held, taken at:\n")
	f.stack(tables.stacks[e.heldAt].pcs[:tables.stacks[e.heldAt].n], formStack)
}

// trace writes the stack at which a bit of the class was first set.
//
//go:norace
func (f *fault) trace(class uint16, b uint32) {
	s := &tables.stacks[tables.classes[class].trace[b]]
	f.stack(s.pcs[:s.n], formStack)
}

// reportUsage: the record's class is both irq-safe and irq-unsafe.
//
//go:norace
func (r *request) reportUsage(t *task, h *held, b, old uint32) {
	if !r.firstTimeLocked(InconsistentState, uint64(h.class), uint64(b), uint64(old)) {
		return
	}
	f := r.open(InconsistentState)
	f.about(h.class)
	name := tables.classes[h.class].title()
	f.banner("WARNING: inconsistent lock state")
	f.say("inconsistent {", usageName(old), "} -> {", usageName(b), "} usage.\n", gname(r.goid),
		" [HC", strconv.Itoa(int(t.hardirq+t.threaded)), " SC", strconv.Itoa(int(t.softirq)),
		" HE", strconv.Itoa(int(bit(t.irqsOff == 0 && t.hardirq+t.threaded == 0))), " SE", strconv.Itoa(int(bit(t.bhOff == 0 && t.softirq == 0))), "] takes:\n")
	f.lock(h)
	f.say("\n{", usageName(old), "} state was registered at:\n")
	f.trace(h.class, old)
	f.say("\nother info that might help us debug this:\n Possible unsafe locking scenario:\n\n",
		"       goroutine\n       ---------\n  lock(", name, ");\n  <Interrupt>\n    lock(", name, ");\n\n *** DEADLOCK ***\n\n")
	f.end(t, r.pcs[:r.n])
}

// reportInversion: a path joins the record's class, which has just got the bit, to
// a class that has a contradicting one.
//
//go:norace
func (r *request) reportInversion(t *task, h *held, b, old uint32, st step, forward bool) {
	if !r.firstTimeLocked(IrqInversion, uint64(h.class), uint64(st.class), uint64(b)<<8|uint64(old)) {
		return
	}
	path := tables.search.path(st, forward)
	f := r.open(IrqInversion)
	f.about(h.class, st.class)
	f.banner("WARNING: possible irq lock inversion dependency detected")
	f.say(gname(r.goid), " just changed the state of lock:\n")
	f.lock(h)
	if forward {
		f.say("\nbut this lock took another, ", irqName(old), "-unsafe lock in the past:\n ")
	} else {
		f.say("\nbut this lock was taken by another, ", irqName(old), "-safe lock in the past:\n ")
	}
	f.class(st.class)
	f.say("\n\nand interrupts could create inverse lock ordering between them.\n\n{", usageName(old), "} state of that lock was registered at:\n")
	f.trace(st.class, old)
	f.say("\nthe dependency between the locks:\n")
	for j, n := range path {
		f.edge(n, strconv.Itoa(j))
	}
	safe, unsafe := h.class, st.class
	if !forward {
		safe, unsafe = unsafe, safe
	}
	f.say("\nother info that might help us debug this:\n")
	f.interrupt(safe, unsafe)
	f.end(t, r.pcs[:r.n])
}

// interrupt writes how a handler completes the deadlock.
//
//go:norace
func (f *fault) interrupt(safe, unsafe uint16) {
	s, u := tables.classes[safe].title(), tables.classes[unsafe].title()
	f.say(" Possible interrupt unsafe locking scenario:\n\n",
		"       goroutine 1             goroutine 2\n       ----                    ----\n",
		"  lock(", u, ");\n",
		"                               interrupts off\n",
		"                               lock(", s, ");\n",
		"                               lock(", u, ");\n",
		"  <Interrupt>\n    lock(", s, ");\n\n *** DEADLOCK ***\n\n")
}

// reportIrqOrder: the order of record i before r.h joins an irq-safe class to an
// irq-unsafe one.
//
//go:norace
func (r *request) reportIrqOrder(t *task, i int32, safe uint16, in uint32, before []uint32, unsafe uint16, on uint32, after []uint32) {
	p, h := t.at(i), &r.h
	if !r.firstTimeLocked(UnsafeOrder, uint64(p.class), uint64(h.class), uint64(safe)<<16|uint64(unsafe)) {
		return
	}
	f := r.open(UnsafeOrder)
	f.about(h.class, p.class, safe, unsafe)
	f.banner("WARNING: " + irqName(in) + "-safe -> " + irqName(on) + "-unsafe lock order detected")
	f.wants(h)
	f.say("\nand this goroutine is already holding:\n")
	f.lock(p)
	f.say("\nwhich would create a new lock dependency:\n ")
	f.class(p.class)
	f.say(" -> ")
	f.class(h.class)
	f.say("\n\nbut this new dependency connects a ", irqName(in), "-irq-safe lock:\n ")
	f.class(safe)
	f.say("\n... which became ", irqName(in), "-irq-safe at:\n")
	f.trace(safe, in)
	f.say("\nto a ", irqName(on), "-irq-unsafe lock:\n ")
	f.class(unsafe)
	f.say("\n... which became ", irqName(on), "-irq-unsafe at:\n")
	f.trace(unsafe, on)
	for j, n := range before {
		f.edge(n, strconv.Itoa(j)+" (before)")
	}
	for j, n := range after {
		f.edge(n, strconv.Itoa(j)+" (after)")
	}
	f.say("\nother info that might help us debug this:\n")
	f.interrupt(safe, unsafe)
	f.end(t, r.pcs[:r.n])
}

// reportUnbalance: a goroutine releases a lock or ends a section that it does not
// hold. really says whether another one holds it.
//
//go:norace
func (r *request) reportUnbalance(name string, really bool) {
	if !r.isNew(UnlockBalance, place(r.pcs[:r.n]), 0, 0) {
		return
	}
	f := r.open(UnlockBalance)
	f.classes = append(f.classes, name)
	f.banner("WARNING: bad unlock balance detected!")
	f.say(gname(r.goid), " is trying to release lock (", name, ") at:\n")
	f.stack(r.pcs[:r.n], formSite)
	if really {
		f.say("\nbut another goroutine holds it!\n")
	} else {
		f.say("\nbut there are no more locks to release!\n")
	}
	f.say("\nother info that might help us debug this:\n")
	f.endUnlocked(r)
}

// endUnlocked is end for a report that is made without the task.
//
//go:norace
func (f *fault) endUnlocked(r *request) {
	if t := r.find(false); t != nil {
		f.end(t, r.pcs[:r.n])
		t.mu.unlock()
		return
	}
	f.say("no locks held by ", gname(r.goid), ".\n\nstack backtrace:\n")
	f.stack(r.pcs[:r.n], formStack)
}

// reportHeldInit: Init of a lock that is held.
//
//go:norace
func (r *request) reportHeldInit(h *held, owner uint64) {
	if !r.isNew(HeldLockInit, uint64(h.class), 0, 0) {
		return
	}
	r.goid = goid()
	f := r.open(HeldLockInit)
	f.about(h.class)
	f.banner("WARNING: held lock initialised!")
	f.say(gname(r.goid), " is initialising a lock that ", gname(owner), " holds:\n")
	f.lock(h)
	f.say("\n\nit was taken at:\n")
	f.stack(h.pcs[:h.n], formStack)
	f.say("\nother info that might help us debug this:\n")
	f.endUnlocked(r)
}

// reportRCU: something that only a reader may do, or that no reader may do.
//
//go:norace
func (r *request) reportRCU(t *task, what string) {
	if !r.isNew(SuspiciousRCU, place(r.pcs[:r.n]), 0, 0) {
		return
	}
	f := r.open(SuspiciousRCU)
	f.banner("WARNING: suspicious RCU usage")
	f.stack(r.pcs[:r.n], formUser)
	f.say(" ", what, "\n\nother info that might help us debug this:\n\nrcu_scheduler_active = 2, debug_locks = 1\n")
	if t != nil {
		f.context(t)
		f.end(t, r.pcs[:r.n])
		return
	}
	f.say("no locks held by ", gname(r.goid), ".\n\nstack backtrace:\n")
	f.stack(r.pcs[:r.n], formStack)
}

// reportStillHeld: a goroutine that ends, or has ended, holds something.
//
//go:norace
func (r *request) reportStillHeld(t *task, gone bool) {
	top := t.at(t.depth - 1)
	if !r.isNew(StillHeld, uint64(top.class), place(top.pcs[:top.n]), 0) {
		return
	}
	f := r.open(StillHeld)
	f.goid = t.goid
	for i := range t.depth {
		f.about(t.at(i).class)
	}
	if gone {
		f.banner("WARNING: " + gname(t.goid) + " ended and still has locks held!")
	} else {
		f.banner("WARNING: " + gname(t.goid) + " still has locks held!")
	}
	f.end(t, r.pcs[:r.n])
}
