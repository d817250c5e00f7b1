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

// gp is the state of grace periods, except for seq.
var gp struct {
	mu        lock.Mutex    // held by the driver of a grace period
	expedite  atomic.Int32  // callers that want the driver to hurry
	target    atomic.Uint64 // highest cookie promised by StartPoll
	working   atomic.Bool   // the worker goroutine runs
	pinned    []pinnedP     // Ps that the driver waits for; protected by mu
	expedited atomic.Uint64 // statistics
}

// pinnedP is a P that was in a pinned section when the grace period started.
type pinnedP struct {
	id int
	qs uint64 // percpu.CPU.QS then
}

func init() { gp.mu.Init("rcu.gp.mu") }

// wait returns when the grace period of c has ended. It drives as many grace
// periods as that takes, which are at most two: one that may be running, and
// the next.
func wait(c Cookie, expedited bool) {
	if depcheck.Enabled() && mayWait("waiting for a grace period") {
		done := reported.Annotate(&reportedType)
		defer done()
	}
	if preempt.Atomic() {
		panic("quiesce/rcu: waiting for a grace period in a raw atomic context, which the grace period would wait for")
	}
	race.Disable() // neither the mutex nor its other holders order user code
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
			driveLocked()
		}
		gp.mu.Unlock()
	}
}

// startWorker makes the worker drive grace periods up to c. It may run pinned:
// starting a goroutine is allowed there.
//
//go:norace
func startWorker(c Cookie) {
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

// work is the worker: it drives grace periods until the highest cookie promised
// has ended.
func work() {
	for {
		for c := Cookie(gp.target.Load()); !done(c); c = Cookie(gp.target.Load()) { // ord:wake-gp
			wait(c, false)
		}
		gp.working.Store(false) // ord:wake-gp
		fault.Delay("wake-gp")
		// A cookie may have arrived between the two lines above.
		if done(Cookie(gp.target.Load())) || !gp.working.CompareAndSwap(false, true) { // ord:wake-gp
			return
		}
	}
}

// driveLocked runs one grace period. The numbers are the steps in doc.go. gp.mu
// is locked.
//
//go:norace
func driveLocked() {
	wait := backoff{}
	n := seq.Add(1)/2 + 1 // 1; ord:seq-start
	race.GracePeriodBegan()
	fault.Delay("seq-start")

	exits := sumUnlocks() // 2
	fault.Delay("unlock")
	sys.Membarrier() // 3, A; ord:nest,lock,unlock
	fault.Delay("nest")
	entries := sumLocks() // 4

	gp.pinned = gp.pinned[:0]
	ps := runtime.GOMAXPROCS(0)
	if ps > percpu.MaxP {
		panic("quiesce/rcu: more Ps than there are slots for: GOMAXPROCS is above 8192")
	}
	for id := range ps { // 5
		c := percpu.Of(id)
		qs := atomic.LoadUint64(&c.QS) // before Nest; ord:qs
		fault.Delay("qs")
		if atomic.LoadUint64(&c.Nest) != 0 { // ord:nest
			gp.pinned = append(gp.pinned, pinnedP{id, qs})
		}
	}

	cur := index.Load()                 // 0 or 1; ord:index
	if exits[cur^1] != entries[cur^1] { // 6
		waitForReaders(cur^1, &wait)
	}
	if exits[cur] != entries[cur] { // 7
		index.Store(cur ^ 1) // ord:index
		fault.Delay("index")
		waitForReaders(cur, &wait)
	}

	for len(gp.pinned) > 0 { // 8
		left := gp.pinned[:0]
		for _, p := range gp.pinned {
			c := percpu.Of(p.id)
			if atomic.LoadUint64(&c.Nest) != 0 && atomic.LoadUint64(&c.QS) == p.qs { // ord:qs
				left = append(left, p)
			}
		}
		gp.pinned = left
		if len(left) > 0 && wait.pause() {
			reportPinned(left, wait.since())
		}
	}

	if !sys.ExitIsRelease {
		sys.Membarrier() // 9, B; ord:qs
	}
	race.Enable()
	race.GracePeriodEnded(n)
	race.Disable()
	fault.Delay("seq-end")
	seq.Add(1) // 10; ord:seq-end
}

// waitForReaders waits until the readers that entered with index j have left.
// New readers use the other index, except those delayed with a stale one.
//
//go:norace
func waitForReaders(j uint64, wait *backoff) {
	for {
		// Readers may have left on Ps where no reader ever entered.
		percpu.RaiseReaders(runtime.GOMAXPROCS(0))
		// Check without the barrier first: a wrong answer costs only time.
		if sumUnlocks()[j] == sumLocks()[j] {
			exits := sumUnlocks()
			fault.Delay("unlock")
			sys.Membarrier() // ord:unlock
			fault.Delay("lock")
			if entries := sumLocks(); exits[j] == entries[j] {
				return
			}
		}
		if wait.pause() {
			reportPreemptible(j, wait.since())
		}
		// They may even have left on Ps that are gone by now. That is rare, so
		// each longer pause checks some of them.
		if wait.n > spins+yields {
			percpu.FindReaders(&wait.found)
		}
	}
}

// backoff is how the driver waits for a reader: it spins, then yields, then
// sleeps.
type backoff struct {
	n        int
	start    int64
	reported bool // as a stall
	found    int  // where the next FindReaders begins
}

// The steps of a wait. Untuned.
const (
	spins    = 30      // × 20 PAUSEs
	yields   = 30      // runtime.Gosched
	minSleep = 20_000  // ns
	maxSleep = 500_000 // ns
	expSleep = 20_000  // ns, expedited
)

// pause waits a moment. It returns true once, when the wait has lasted longer
// than StallTimeout.
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
	if !b.reported && b.since() > int64(StallTimeout) {
		b.reported = true
		return true
	}
	return false
}

// since returns the length of the wait so far, in ns.
func (b *backoff) since() int64 { return sys.Nanotime() - b.start }
