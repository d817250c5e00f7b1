package rcu

import (
	"sync"

	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

// wait returns when the grace period of c has ended. It drives as many grace
// periods as that takes, which are at most two, one that may be running and the
// next; or another caller drives them.
func wait(c Cookie, expedited bool) {
	if depcheck.Enabled() && mayWait("waiting for a grace period") {
		done := reported.Annotate(&reportedType)
		defer done()
	}
	if preempt.Atomic() {
		panic("quiesce/rcu: waiting for a grace period in a raw atomic context, which the grace period would wait for")
	}
	race.Disable() // neither the locks nor their other holders order user code
	broken := waitHidden(c, expedited)
	race.Enable()
	if broken != "" {
		panic(broken)
	}
	race.GracePeriodSeen(uint64(c) / 2)
}

// waitHidden is wait. It returns "", or why the grace period can't end.
//
//go:norace
func waitHidden(c Cookie, expedited bool) (broken string) {
	if expedited {
		gp.expedited.Add(1)       // ord:stat
		gp.expedite.Add(1)        // ord:hint
		defer gp.expedite.Add(-1) // ord:hint
	}
	for drives := false; !done(c) || drives; {
		if !drives {
			drives = queue.join(c)
			continue
		}
		if !done(c) {
			gp.mu.Lock()
			if gp.broken == "" {
				gp.broken = driveLocked()
			}
			broken = gp.broken
			gp.mu.Unlock()
		}
		if queue.leave(c, broken != "") {
			return broken
		}
	}
	return ""
}

// queue has the callers that wait while another one, the driver, drives grace
// periods. The driver wakes all callers of a grace period at once when that has
// ended. When its own has, it leaves, and makes a caller of the next one the
// driver. A mutex in place of the queue would wake one after the other, and on
// busy Ps each of them waits for its turn to run.
var queue gpQueue

type gpQueue struct {
	mu      lock.Raw
	driving bool       // there is a driver; protected by mu
	waiters [2]*waiter // by the lowest bit of the grace period's number; protected by mu
}

// waiter is a caller in the queue, or a Barrier in that of callbacks.
type waiter struct {
	next   *waiter
	drives bool       // set before the wake-up: the caller is the driver
	parked sync.Mutex // locked until the wake-up; a channel would belong to the caller's synctest bubble
}

// list returns the list of a grace period. Two lists are enough: a cookie that has
// not ended is that of the running or of the next one. A number that is neither,
// because the caller made the cookie up, only leads to a wake-up too early.
func (q *gpQueue) list(number uint64) **waiter { return &q.waiters[number&1] }

// join waits until the grace period of c has ended, or until the caller is the
// driver, which it reports.
//
//go:norace
func (q *gpQueue) join(c Cookie) (drives bool) {
	queued, drives := q.enter(c, nil)
	if !queued {
		return drives
	}
	w := new(waiter)
	w.parked.Lock()
	if queued, drives = q.enter(c, w); !queued {
		return drives
	}
	w.parked.Lock()
	return w.drives
}

// enter makes the caller the driver, or puts w in the list, or does neither if the
// grace period of c has ended. If w is nil, enter only reports what it would do
// with it.
//
//go:norace
func (q *gpQueue) enter(c Cookie, w *waiter) (queued, drives bool) {
	q.mu.Lock()
	switch l := q.list(uint64(c) / 2); {
	case done(c):
		// The driver stores the end of a grace period before it locks mu to
		// wake its callers, so it can't have missed this one.
	case !q.driving:
		q.driving, drives = true, true
	default:
		queued = true
		if w != nil {
			w.next, *l = *l, w
		}
	}
	q.mu.Unlock()
	return queued, drives
}

// leave is called by the driver after a grace period. It wakes the callers of
// that grace period. If c, which the driver wanted, has ended too, or if none
// will end any more, it makes a caller of the next one the driver and returns
// true.
//
//go:norace
func (q *gpQueue) leave(c Cookie, broken bool) (left bool) {
	q.mu.Lock()
	number := seq.Load() / 2 // only the driver changes seq; ord:stat
	woken := *q.list(number)
	*q.list(number) = nil
	var heir *waiter
	if left = broken || done(c); left {
		next := q.list(number + 1)
		if heir = *next; heir != nil {
			heir.drives = true
			*next = heir.next
		} else {
			q.driving = false
		}
	}
	q.mu.Unlock()
	if heir != nil {
		heir.parked.Unlock()
	}
	for woken != nil {
		w := woken
		woken = w.next // before the wake-up, after which w is the caller's
		w.parked.Unlock()
	}
	return left
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
		sys.Go(work)
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
