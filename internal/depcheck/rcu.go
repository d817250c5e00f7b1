package depcheck

import "unsafe"

// inSection reports whether the task is in an RCU read-side section whatever
// preempt_rt is: a pinned section counts, and a lock.Raw, but not a lock.Spin or a
// softirq handler that pins with preempt_rt=0.
//
//go:norace
func (t *task) inSection() bool {
	for i := range t.depth {
		h := t.at(i)
		if h.flags&flagSection != 0 || h.pins > 0 && tables.classes[h.class].ty.Inner == WaitSpin {
			return true
		}
	}
	return t.bare() > 0
}

// InReader reports whether the calling goroutine is in a read-side section: a
// pinned one, or one that a build with -tags lockdep saw begin. It returns true in
// other builds, and where lockdep is off.
//
// Context: any.
//
// Linux: rcu_read_lock_held.
//
//go:norace
func InReader() bool {
	return !Tagged || !Enabled() || inReader(true)
}

// inReader is InReader with lockdep on. unknown is the answer where a table was
// full.
//
//go:norace
func inReader(unknown bool) bool {
	var r request
	r.begin()
	in := unknown && tables.full.Load()&fullTasks != 0
	if t := r.find(false); t != nil {
		in = t.inSection() || unknown && t.lost > 0
		t.mu.unlock()
	} else {
		in = in || pinned()
	}
	r.end()
	return in
}

// NeedReader reports a caller that is in no read-side section. skip is the number
// of frames between the fault and the caller of NeedReader.
//
// Context: any.
//
//go:noinline
func NeedReader(skip int, what string) {
	if !InReader() {
		suspicious(skip+1, what)
	}
}

// Suspicious reports another misuse of RCU.
//
// Context: any.
//
//go:noinline
func Suspicious(skip int, what string) {
	if Enabled() {
		suspicious(skip+1, what)
	}
}

// CheckGuard reports the use of an rcu.Guard that has been unlocked, or that
// ReadLock did not make. It is for
// functions that take a guard as proof, in builds with -tags lockdep. guard points
// to an rcu.Guard, which this package can't name; its Section comes first. skip
// is the number of frames between the caller of CheckGuard and the line to blame.
//
//go:noinline
func CheckGuard(skip int, guard unsafe.Pointer) { CheckSection(skip+1, (*Section)(guard)) }

// CheckSection is [CheckGuard] for package rcu, which has the guard's section.
//
// Context: any.
//
//go:noinline
func CheckSection(skip int, s *Section) {
	switch {
	case s.Zero():
		Suspicious(skip+1, "use of a zero rcu.Guard, which proves nothing: only ReadLock makes one")
	case !s.Open():
		Suspicious(skip+1, "use of an rcu.Guard after its Unlock")
	}
}

// NeedNoReader reports a caller that does in a read-side section what must not be
// done there, and returns whether it does. Pinned sections are always seen, others
// only with -tags lockdep.
//
// Context: any.
//
//go:norace
//go:noinline
func NeedNoReader(skip int, what string) bool {
	if !Enabled() {
		return false
	}
	in := inReader(false)
	if in {
		suspicious(skip+1, "Illegal "+what+" in RCU read-side critical section")
	}
	return in
}

//go:norace
//go:noinline
func suspicious(skip int, what string) {
	var r request
	r.record(skip + 1)
	r.begin()
	t := r.find(false)
	r.reportRCU(t, what)
	if t != nil {
		t.mu.unlock()
	}
	r.end()
}
