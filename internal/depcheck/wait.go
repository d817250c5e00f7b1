package depcheck

// limit is what the goroutine may wait for in its context, and what limited it
// last.
type limit struct {
	may   WaitType // the lowest wait type in force
	by    int32    // the record that lowered it, or noRecord: the context itself
	class uint16   // of that record
	bare  bool     // pinned by a section that has no record
}

const noRecord = -1

// base is the wait type of the context without locks. With interrupts or softirqs
// disabled only that may sleep which spins with preempt_rt=0.
//
//go:norace
func (t *task) base() WaitType {
	if w := t.kernelContext(); w != waitMax || t.irqsOff == 0 && t.bhOff == 0 {
		return w
	}
	return WaitConfig
}

// kernelContext is the context's wait type in reports: the kernel counts only
// handlers.
//
//go:norace
func (t *task) kernelContext() WaitType {
	switch {
	case t.hardirq > 0:
		return WaitSpin
	case t.threaded > 0, t.softirq > 0:
		return WaitConfig
	}
	return waitMax
}

// mayWait walks over what is held in this interrupt context, outermost first.
// Locks taken by TryLock count: however it was taken, a lock is held.
//
//go:norace
func (t *task) mayWait() limit {
	l := limit{may: t.base(), by: noRecord}
	ctx := t.context()
	first := t.depth
	for first > 0 && t.at(first-1).ctx == ctx {
		first--
	}
	pinned := int32(noRecord)
	for i := first; i < t.depth; i++ {
		h := t.at(i)
		ty := tables.classes[h.class].ty
		if h.pins > 0 && ty.Inner == WaitSpin && pinned == noRecord {
			pinned = i
		}
		if ty.Inner == WaitInvalid {
			continue
		}
		if ty.Kind == WaitOverride || ty.Inner.level() < l.may.level() {
			l.may, l.by, l.class = ty.Inner, i, h.class
		}
	}
	// An annotation can't let a pinned goroutine sleep.
	switch {
	case l.may.level() <= WaitSpin.level():
	case pinned != noRecord:
		l = limit{may: WaitSpin, by: pinned, class: t.at(pinned).class}
	case t.bare() > 0:
		l = limit{may: WaitSpin, by: noRecord, bare: true}
	}
	return l
}

// checkWait reports a lock that may wait longer than the context allows.
//
// Linux: check_wait_context.
//
//go:norace
func (r *request) checkWait(t *task, ty *Type) {
	if l := t.mayWait(); ty.outer().level() > l.may.level() {
		r.reportWait(t, l)
	}
}

// MightSleep records that a function may block, whether it does this time or
// not, and reports whether the context forbids that. skip is the number of
// frames between the fault and the caller of MightSleep; what is how reports
// name the function. It costs a load while lockdep is off.
//
// Context: any.
//
// Linux: __might_sleep.
func MightSleep(skip int, what string) (bad bool) { return Enabled() && mightSleep(skip+1, what) }

//go:norace
//go:noinline
func mightSleep(skip int, what string) (bad bool) {
	var r request
	r.begin()
	t := r.find(true)
	if t != nil {
		l := t.mayWait()
		if bad = l.may.level() < WaitSleep.level(); bad {
			r.record(skip + 1)
			r.reportSleep(t, l, what)
		}
		t.mu.unlock()
		r.retire(t)
	}
	r.end()
	return bad
}
