package preempt

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/pin"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// BHState is the token of a section with softirqs (bottom halves) disabled.
type BHState struct {
	t *bhTask
	p pin.Section // preempt_rt=0
}

// bhTask is a goroutine that has softirqs disabled. The outermost section makes
// it, and it is never reused, so that a stale token is recognized.
type bhTask struct {
	g    uintptr // immutable: sys.G
	next *bhTask // in the goroutine's bucket; protected by the bucket's lock

	// Owned by the goroutine.
	depth   int      // of sections; running the deferred handlers counts as one
	running bool     // the deferred handlers run
	fns     []func() // deferred Softirq calls
}

// DisableBH disables softirqs for this goroutine until [BHState.Restore]: its
// [Softirq] calls are deferred until the outermost Restore. With preempt_rt=1 the
// goroutine stays preemptible, as in the kernel; with preempt_rt=0 it is pinned.
// Sections nest, and need not end in the reverse order of their beginnings; all
// must end before the goroutine does.
//
// Here softirqs never come from outside, so only the goroutine's own calls are
// deferred: DisableBH excludes no other goroutine. Use a lock for that.
//
// Context: any except Hardirq.
//
// Linux: local_bh_disable.
func DisableBH() BHState {
	var s BHState
	if !rt {
		s.p = pin.Disable()
	}
	g := sys.G()
	if s.t = bhFind(g); s.t == nil {
		s.t = &bhTask{g: g}
		bhInsert(s.t)
	}
	s.t.depth++
	if depcheck.Enabled() {
		depcheck.BHOff(!rt)
	}
	return s
}

// Restore ends the section. If it was the goroutine's outermost, the deferred
// Softirq calls run now, on this goroutine. It must be called exactly once, on
// the goroutine that called [DisableBH].
//
// Linux: local_bh_enable.
func (s BHState) Restore() {
	if s.t == nil || s.t.g != sys.G() || s.t.depth == 0 || s.t.depth == 1 && s.t.running {
		panic("quiesce/preempt: BHState.Restore of a section that this goroutine is not in")
	}
	if depcheck.Enabled() {
		depcheck.BHOn(!rt) // first, because locks held here are held while handlers run
	}
	if s.t.depth > 1 {
		s.t.depth--
	} else {
		s.t.run()
	}
	if !rt {
		s.p.Enable()
		depcheck.Left()
	}
}

// BHDisabled reports whether the calling goroutine has softirqs disabled. In a
// [Softirq] handler it has.
//
// Context: any.
//
// Linux: in_softirq.
func BHDisabled() bool { return bhFind(sys.G()) != nil }

// Softirq runs fn as a softirq handler. With preempt_rt=1 that is a preemptible
// context in which a lock.Spin may be taken; with preempt_rt=0 it is pinned. fn
// must not sleep in either mode.
//
// Softirqs don't nest: if this goroutine has softirqs disabled, or runs a
// handler, fn is queued and runs when they are enabled again, which may be after
// Softirq has returned.
//
// Context: any.
func Softirq(fn func()) {
	g := sys.G()
	if t := bhFind(g); t != nil {
		t.fns = append(t.fns, fn)
		return
	}
	var p pin.Section
	if !rt {
		p = pin.Disable()
	}
	t := &bhTask{g: g, depth: 1, fns: []func(){fn}}
	bhInsert(t)
	t.run()
	if !rt {
		p.Enable()
		depcheck.Left()
	}
}

// handleSoftirq runs one handler.
func handleSoftirq(fn func()) {
	if depcheck.Enabled() {
		depcheck.SoftirqEnter(!rt)
		defer depcheck.SoftirqExit(!rt)
	}
	fn()
}

// run runs the deferred handlers, and those that they queue, at depth 1, so that
// none of them nests. If a handler panics, the remaining ones still run during
// unwinding, and the goroutine is left clean.
func (t *bhTask) run() {
	defer func() {
		if len(t.fns) != 0 {
			t.run()
			return
		}
		t.depth = 0 // also where a handler left softirqs disabled
		bhRemove(t)
	}()
	t.running = true
	for len(t.fns) != 0 {
		fn := t.fns[0]
		t.fns = t.fns[1:]
		handleSoftirq(fn)
	}
}

// bhBuckets is a hash table from a goroutine to its bhTask:
//
//	sys.G() ─ bhBucket ─► bucket: count, lock, tasks ─► bhTask ─► bhTask ─► nil
//
// Few goroutines have softirqs disabled at a time, so most buckets are empty,
// and a load of the count says so without the lock. The lock is held only by
// pinned goroutines and for a few instructions.
//
// The table is hidden from the race detector, which would otherwise order
// goroutines that share a bucket. So all functions that access it are go:norace.
var bhBuckets [64]struct {
	count atomic.Int32
	lock  atomic.Uint32
	tasks *bhTask
	_     [percpu.Line - 4 - 4 - 8]byte
}

// bhBucket returns the index of a goroutine's bucket. Goroutine descriptors are
// some 400 bytes apart.
func bhBucket(g uintptr) uintptr { return (g>>9 ^ g>>15) % uintptr(len(bhBuckets)) }

// bhFind returns the goroutine's task, or nil. It is called by that goroutine,
// which sees its own stores, so nothing else needs to be ordered.
//
//go:norace
func bhFind(g uintptr) *bhTask {
	b := &bhBuckets[bhBucket(g)]
	race.Disable()
	n := b.count.Load() // ord:bh
	race.Enable()
	if n == 0 {
		return nil
	}
	p := lockBH(&b.lock)
	t := b.tasks
	for t != nil && t.g != g {
		t = t.next
	}
	unlockBH(&b.lock, p)
	return t
}

//go:norace
func bhInsert(t *bhTask) {
	b := &bhBuckets[bhBucket(t.g)]
	p := lockBH(&b.lock)
	t.next = b.tasks
	b.tasks = t
	b.count.Add(1) // ord:bh
	unlockBH(&b.lock, p)
}

//go:norace
func bhRemove(t *bhTask) {
	b := &bhBuckets[bhBucket(t.g)]
	p := lockBH(&b.lock)
	for at := &b.tasks; *at != nil; at = &(*at).next {
		if *at == t {
			*at = t.next
			break
		}
	}
	b.count.Add(-1) // ord:bh
	unlockBH(&b.lock, p)
}

//go:norace
func lockBH(l *atomic.Uint32) pin.Section {
	p := pin.Disable()
	race.Disable()
	for i := 0; !l.CompareAndSwap(0, 1); i++ { // ord:bh
		sys.Relax(i)
	}
	return p
}

//go:norace
func unlockBH(l *atomic.Uint32, p pin.Section) {
	l.Store(0) // ord:bh
	race.Enable()
	p.Enable()
}
