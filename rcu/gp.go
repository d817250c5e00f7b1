package rcu

import (
	"runtime"
	"strconv"
	"sync/atomic"

	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// gp is the state of grace periods, except for seq.
var gp struct {
	mu        lock.Mutex    // held by the driver of a grace period
	expedite  atomic.Int32  // callers that want the driver to hurry
	target    atomic.Uint64 // highest cookie promised by StartPoll
	working   atomic.Bool   // the worker goroutine runs
	expedited atomic.Uint64 // statistics

	// What the driver waits for; protected by mu.
	pinned     []pinnedP
	registered []waitedReader

	broken string // why there will be no more of them; protected by mu
}

// pinnedP is a P that was in a pinned section when the grace period started.
type pinnedP struct {
	id int
	qs uint64 // percpu.CPU.QS then
}

func init() {
	gp.mu.Init("rcu.gp.mu")
	queue.mu.Init("rcu.queue.mu")
}

// driveLocked runs one grace period. The numbers are the steps in doc.go. It
// returns "", or why it left the grace period open and no other can ever end.
// gp.mu is locked.
//
//go:norace
func driveLocked() (broken string) {
	wait := backoff{}
	n := seq.Add(1)/2 + 1 // 1; ord:seq-start
	race.GracePeriodBegan()
	fault.Delay("seq-start")

	exits := sumUnlocks() // 2
	fault.Delay("unlock")
	sys.Membarrier() // 3, A; ord:nest,lock,unlock,reader-enter,reader-live
	fault.Delay("nest")
	entries := sumLocks() // 4
	if exceeds(exits[0], entries[0]) || exceeds(exits[1], entries[1]) {
		return twice
	}

	gp.pinned = gp.pinned[:0]
	ps := runtime.GOMAXPROCS(0)
	if ps > percpu.MaxP {
		return "quiesce/rcu: more Ps than there are slots for: GOMAXPROCS is above " + strconv.Itoa(percpu.MaxP)
	}
	for id := range ps { // 5
		c := percpu.Of(id)
		qs := atomic.LoadUint64(&c.QS) // before Nest; ord:qs
		fault.Delay("qs")
		if atomic.LoadUint64(&c.Nest) != 0 { // ord:nest
			gp.pinned = append(gp.pinned, pinnedP{id, qs})
		}
	}
	seeRegisteredLocked()

	cur := index.Load()                                                  // 0 or 1; ord:index
	if exits[cur^1] != entries[cur^1] && !waitForReaders(cur^1, &wait) { // 6
		return twice
	}
	if exits[cur] != entries[cur] { // 7
		index.Store(cur ^ 1) // ord:index
		fault.Delay("index")
		if !waitForReaders(cur, &wait) {
			return twice
		}
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
		if len(left) > 0 && wait.pause(pinnedReader) {
			reportPinned(left, &wait)
		}
	}
	waitForRegisteredLocked(&wait)
	wait.ended()

	if !sys.ExitIsRelease {
		sys.Membarrier() // 9, B; ord:qs,reader-leave
	}
	if wait.reports > 0 {
		stall.End()
	}
	race.Enable()
	race.GracePeriodEnded(n)
	race.Disable()
	fault.Delay("seq-end")
	seq.Add(1) // 10; ord:seq-end
	return ""
}

// twice says that more readers left than entered. An exit that is counted has its
// entry counted, so some section ended twice.
const twice = "quiesce/rcu: more Unlocks than ReadLocks: a Guard and a copy of it were both unlocked. " +
	"What readers still used may have been freed"

// exceeds reports whether count a is ahead of count b. Both may have wrapped.
func exceeds(a, b uint64) bool { return int64(a-b) > 0 }

// waitForReaders waits until the readers that entered with index j have left.
// New readers use the other index, except those delayed with a stale one. It
// returns false if more left than entered.
//
//go:norace
func waitForReaders(j uint64, wait *backoff) (ok bool) {
	for {
		// Readers may have left on Ps where no reader ever entered.
		percpu.RaiseReaders(runtime.GOMAXPROCS(0))
		// Check without the barrier first: a wrong answer costs only time.
		if exits := sumUnlocks(); !exceeds(sumLocks()[j], exits[j]) {
			exits := sumUnlocks()
			fault.Delay("unlock")
			sys.Membarrier() // ord:unlock
			fault.Delay("lock")
			switch entries := sumLocks(); {
			case exits[j] == entries[j]:
				return true
			case exceeds(exits[j], entries[j]):
				return false
			}
		}
		if wait.pause(preemptibleReader) {
			reportPreemptible(j, wait)
		}
		// They may even have left on Ps that are gone by now. That is rare, so
		// each longer pause checks some of them.
		if wait.sleeps > 0 {
			percpu.FindReaders(&wait.found)
		}
	}
}
