package rcu

import (
	"runtime"
	"sync/atomic"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

// gp is the state of grace periods besides seq.
var gp struct {
	mu        lock.Mutex    // held by the driver of a grace period
	expedite  atomic.Int32  // callers who want the driver to hurry
	target    atomic.Uint64 // highest cookie promised by StartPoll
	working   atomic.Bool   // the worker goroutine runs
	waiting   []waitFor     // protected by mu
	expedited atomic.Uint64 // statistics
}

// waitFor is a P in a pinned section at the grace period's start.
type waitFor struct {
	id int
	qs uint64
}

func init() { gp.mu.Init("rcu.gp.mu") }

// wait returns once c has ended, driving as many grace periods as that takes.
// At most two: the one that may be running, and the next.
func wait(c Cookie, expedited bool) {
	if depcheck.Enabled() && mayWait("waiting for a grace period") {
		defer reported.Annotate(&reportedType)()
	}
	if preempt.Atomic() {
		panic("quiesce: rcu: waiting for a grace period in a raw atomic context, which it would wait for")
	}
	race.Disable() // neither the mutex nor its other holders order users
	waitHidden(c, expedited)
	race.Enable()
	race.GracePeriodSeen(uint64(c) / 2)
}

//go:norace
func waitHidden(c Cookie, expedited bool) {
	if expedited {
		gp.expedited.Add(1)       // ord:stat
		gp.expedite.Add(1)        // ord:hint
		defer gp.expedite.Add(-1) // ord:hint
	}
	for !done(c) {
		gp.mu.Lock()
		if !done(c) {
			drive()
		}
		gp.mu.Unlock()
	}
}

// ensure makes the worker drive grace periods up to c. Any context: starting
// a goroutine while pinned is allowed.
//
//go:norace
func ensure(c Cookie) {
	race.Disable()
	for {
		t := gp.target.Load() // ord:wake-gp
		if int64(t-uint64(c)) >= 0 {
			break
		}
		if gp.target.CompareAndSwap(t, uint64(c)) { // ord:wake-gp
			break
		}
	}
	start := !done(c) && gp.working.CompareAndSwap(false, true) // ord:wake-gp
	race.Enable()
	if start {
		go work()
	}
}

func work() {
	for {
		for c := Cookie(gp.target.Load()); !done(c); c = Cookie(gp.target.Load()) { // ord:wake-gp
			wait(c, false)
		}
		gp.working.Store(false) // ord:wake-gp
		fault.Delay("wake-gp")
		// A cookie may have come in between the two lines above.
		if done(Cookie(gp.target.Load())) || !gp.working.CompareAndSwap(false, true) { // ord:wake-gp
			return
		}
	}
}

// drive runs one grace period. The numbers are the steps of doc.go. gp.mu is
// held.
//
//go:norace
func drive() {
	b := backoff{}
	n := seq.Add(1)/2 + 1 // 1; ord:seq-start
	race.GracePeriodBegan()
	fault.Delay("seq-start")

	u := sumUnlocks() // 2
	fault.Delay("unlock")
	sys.Membarrier() // 3, A; ord:nest,lock,unlock
	fault.Delay("nest")
	l := sumLocks() // 4

	gp.waiting = gp.waiting[:0]
	ps := runtime.GOMAXPROCS(0)
	if ps > percpu.MaxP {
		panic("quiesce: more Ps than there are slots for: GOMAXPROCS is above 65536")
	}
	for id := range ps { // 5
		c := percpu.Of(id)
		qs := atomic.LoadUint64(&c.QS) // before Nest; ord:qs
		fault.Delay("qs")
		if atomic.LoadUint64(&c.Nest) != 0 { // ord:nest
			gp.waiting = append(gp.waiting, waitFor{id, qs})
		}
	}

	i := index.Load()     // 0 or 1; ord:index
	if u[i^1] != l[i^1] { // 6
		drain(i^1, &b)
	}
	if u[i] != l[i] { // 7
		index.Store(i ^ 1) // ord:index
		fault.Delay("index")
		drain(i, &b)
	}

	for len(gp.waiting) > 0 { // 8
		left := gp.waiting[:0]
		for _, w := range gp.waiting {
			c := percpu.Of(w.id)
			if atomic.LoadUint64(&c.Nest) != 0 && atomic.LoadUint64(&c.QS) == w.qs { // ord:qs
				left = append(left, w)
			}
		}
		gp.waiting = left
		if len(left) > 0 && b.pause() {
			reportPinned(left, b.since())
		}
	}

	if !sys.ExitIsRelease {
		sys.Membarrier() // 9, B; ord:qs
	}
	if race.Enabled {
		race.Enable()
		race.GracePeriodEnded(n)
		race.Disable()
	}
	fault.Delay("seq-end")
	seq.Add(1) // 10; ord:seq-end
}

// drain waits until the readers of index j that entered before have left. New
// readers don't use j, but for those held up with a stale index.
//
//go:norace
func drain(j uint64, b *backoff) {
	for {
		// Readers may have left on Ps where none ever entered.
		percpu.RaiseReaders(runtime.GOMAXPROCS(0))
		// A look without the barrier first: it may only err.
		if sumUnlocks()[j] == sumLocks()[j] {
			u := sumUnlocks()
			fault.Delay("unlock")
			sys.Membarrier() // ord:unlock
			fault.Delay("lock")
			if l := sumLocks(); u[j] == l[j] {
				return
			}
		}
		if b.pause() {
			reportPreemptible(j, b.since())
		}
		// Or even on Ps that are gone by now. That is rare, so it is looked
		// for at the 64th, 128th, 256th ... pause.
		if b.n > spins+yields && b.n&(b.n-1) == 0 {
			percpu.FindReaders()
		}
	}
}

// backoff is how the driver waits for a reader: spinning, then giving way,
// then sleeping.
type backoff struct {
	n     int
	start int64
	told  bool
}

// The steps of a wait, untuned.
const (
	spins    = 30      // × 20 PAUSEs
	yields   = 30      // runtime.Gosched
	minSleep = 20_000  // ns
	maxSleep = 500_000 // ns
	expSleep = 20_000  // ns, expedited
)

// pause waits a moment. It returns true once, when the wait has lasted for
// longer than StallTimeout.
//
//go:norace
func (b *backoff) pause() (stalled bool) {
	if b.start == 0 {
		b.start = sys.Nanotime()
	}
	b.n++
	switch {
	case b.n <= spins:
		sys.Pause(20)
		return false
	case b.n <= spins+yields:
		runtime.Gosched()
		return false
	}
	ns := int64(maxSleep)
	if k := b.n - spins - yields; k < 5 {
		ns = minSleep << k
	}
	if gp.expedite.Load() > 0 { // ord:hint
		ns = expSleep
	}
	sys.Sleep(ns)
	if !b.told && b.since() > int64(StallTimeout) {
		b.told = true
		return true
	}
	return false
}

func (b *backoff) since() int64 { return sys.Nanotime() - b.start }
