package preempt

import (
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// BHState is the token of a section with softirqs (bottom halves) disabled.
type BHState struct {
	t *bhTask
	p Pinned // preempt_rt=0
}

// bhTask is a goroutine that has softirqs disabled. It is made by the
// outermost section and never used again, so that a stale token is told from
// a good one.
type bhTask struct {
	g    uintptr // immutable: sys.G
	next *bhTask // in the goroutine's bucket, protected by its lock

	// Owned by the goroutine.
	depth   int      // of sections; the run of what waits counts as one
	running bool     // what waits
	fns     []func() // Softirq calls that wait
}

// DisableBH disables softirqs for this goroutine until Restore: a Softirq that
// it asks for meanwhile is kept until the outermost Restore. With preempt_rt=1
// the goroutine stays preemptible, as in the kernel; with preempt_rt=0 it is
// pinned. Sections nest, and may end in another order than they began; all
// must end before the goroutine does. Not in a Hardirq handler. The kernel's
// local_bh_disable.
//
// Here a softirq never comes from elsewhere, so only the goroutine's own
// calls are held back: this excludes nobody else. Use a lock for that.
func DisableBH() BHState {
	var s BHState
	if !rt {
		s.p = DisableNotrace()
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

// Restore ends the section. When it was the goroutine's outermost, the Softirq
// calls that it held back run now, on this goroutine. It must be called once,
// on the goroutine that called DisableBH. The kernel's local_bh_enable.
func (s BHState) Restore() {
	if s.t == nil || s.t.g != sys.G() || s.t.depth == 0 || s.t.depth == 1 && s.t.running {
		panic("quiesce: BHState.Restore of a section that this goroutine is not in")
	}
	if depcheck.Enabled() {
		depcheck.BHOn(!rt) // locks that are held now are held while handlers run
	}
	if s.t.depth > 1 {
		s.t.depth--
	} else {
		s.t.run()
	}
	if !rt {
		s.p.EnableNotrace()
		depcheck.Left()
	}
}

// BHDisabled reports whether this goroutine has softirqs disabled, as a
// Softirq handler has. Any context. The kernel's in_softirq.
func BHDisabled() bool { return bhFind(sys.G()) != nil }

// Softirq runs fn as a softirq handler. With preempt_rt=1 that is a
// preemptible context in which a lock.Spin may be taken; with preempt_rt=0 it
// is pinned. Sleeping in fn is against the rules either way.
//
// Softirqs don't nest: where this goroutine has them disabled, and in a
// handler, fn is queued and runs when they are enabled again, which may be
// after Softirq returned.
func Softirq(fn func()) {
	g := sys.G()
	if t := bhFind(g); t != nil {
		t.fns = append(t.fns, fn)
		return
	}
	var p Pinned
	if !rt {
		p = DisableNotrace()
	}
	t := &bhTask{g: g, depth: 1, fns: []func(){fn}}
	bhInsert(t)
	t.run()
	if !rt {
		p.EnableNotrace()
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

// run runs what waits, and what that asks for meanwhile, at depth 1, so that
// nothing of it nests. A handler that panics takes nobody along: those behind
// it run while the panic is under way, and the goroutine is left clean.
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

// bhBuckets find a goroutine's bhTask. Goroutines that have softirqs disabled
// are few and a bucket is mostly empty, which its count says without its lock.
// The lock is only ever held pinned and for a few instructions.
//
// What is in here is hidden from the race detector, which would take
// goroutines of one bucket for ordered. So all who touch it are go:norace.
var bhBuckets [64]struct {
	count atomic.Int32
	lock  atomic.Uint32
	tasks *bhTask
	_     [percpu.Line - 4 - 4 - 8]byte
}

// bhBucket is the number of a goroutine's bucket. Descriptors are some 400
// bytes apart.
func bhBucket(g uintptr) uintptr { return (g>>9 ^ g>>15) % uintptr(len(bhBuckets)) }

// bhFind returns the goroutine's task, or nil. The goroutine itself asks, so
// there is nothing to be ordered with: it sees its own stores.
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
func lockBH(l *atomic.Uint32) Pinned {
	p := DisableNotrace()
	race.Disable()
	for i := 0; !l.CompareAndSwap(0, 1); i++ { // ord:bh
		if i < 100 {
			sys.Pause(10)
		} else {
			sys.Yield() // the holder's thread may want the processor
		}
	}
	return p
}

//go:norace
func unlockBH(l *atomic.Uint32, p Pinned) {
	l.Store(0) // ord:bh
	race.Enable()
	p.EnableNotrace()
}
