package rcu

import (
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// listed returns how many callers wait in the queue.
func listed() (n int) {
	queue.mu.Lock()
	defer queue.mu.Unlock()
	for _, w := range queue.waiters {
		for ; w != nil; w = w.next {
			n++
		}
	}
	return n
}

// While a reader holds up one grace period, many ask for the next. One of them
// drives it, and all leave with it: two grace periods for everybody.
func TestCallersOfOneGracePeriodShareIt(t *testing.T) {
	const callers = 200
	g := ReadLock()
	first := testkit.Async(Synchronize)
	testkit.Eventually(t, 10*time.Second, "a grace period that runs", func() bool { return seq.Load()%2 == 1 })
	before := ReadStats().GracePeriods
	others := testkit.AsyncN(callers, func(int) { Synchronize() })
	testkit.Eventually(t, 10*time.Second, "the callers in the queue", func() bool { return listed() == callers })
	g.Unlock()
	testkit.Within(t, "the first caller", first)
	testkit.Within(t, "the others", others)
	if n := ReadStats().GracePeriods - before; n != 2 {
		t.Errorf("%d grace periods for the %d callers, want 2", n, callers+1)
	}
	if n := listed(); n != 0 {
		t.Errorf("%d callers are left in the queue", n)
	}
}

// Every caller becomes the driver's heir now and then, and none is forgotten.
func TestNoCallerIsLeftInTheQueue(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	stop := make(chan struct{})
	readers := testkit.AsyncN(2, func(int) {
		for !testkit.IsClosed(stop) {
			g := ReadLock()
			g.Unlock()
		}
	})
	var waits atomic.Int64
	callers := testkit.AsyncN(16, func(i int) {
		for range testkit.During(300 * time.Millisecond) {
			switch {
			case i%4 == 0:
				SynchronizeExpedited()
			case i%4 == 1:
				CondSynchronize(GetState())
			default:
				Synchronize()
			}
			waits.Add(1)
		}
	})
	testkit.Within(t, "the callers", callers)
	close(stop)
	testkit.Within(t, "the readers", readers)
	t.Log(waits.Load(), "waits")
	queue.mu.Lock()
	defer queue.mu.Unlock()
	if queue.driving || queue.waiters != [2]*waiter{} {
		t.Errorf("the queue at rest: %+v", queue.waiters)
	}
}

// A number that was made up is no cookie: it may name a grace period far ahead.
func TestACookieFarAheadIsWaitedForTogetherWithOthers(t *testing.T) {
	far := GetState() + 20
	done := testkit.AsyncN(3, func(i int) { CondSynchronize(far + Cookie(2*i)) })
	others := testkit.AsyncN(3, func(int) {
		for range 5 {
			Synchronize()
		}
	})
	testkit.Within(t, "the callers far ahead", done)
	testkit.Within(t, "the others", others)
	if !Poll(far) {
		t.Error("CondSynchronize returned too early")
	}
}

func TestStallsAreReportedAtDoubledTimesAndNotAtAllAtZero(t *testing.T) {
	const ms = int64(time.Millisecond)
	reports := func(timeout, each, total int64) (at []int64) {
		var b backoff
		for b.waited < total {
			b.waited += each
			if b.due(timeout) {
				at = append(at, b.waited/ms)
			}
		}
		return at
	}
	equal := func(a, b []int64) bool {
		if len(a) != len(b) {
			return false
		}
		for i := range a {
			if a[i] != b[i] {
				return false
			}
		}
		return true
	}
	if at := reports(10*ms, ms, 100*ms); !equal(at, []int64{11, 23, 47, 95}) {
		t.Errorf("reports after %v ms", at)
	}
	for _, off := range []int64{0, -1} {
		if at := reports(off, ms, 100*ms); at != nil {
			t.Errorf("timeout %d: reports after %v ms", off, at)
		}
	}
	hour := int64(time.Hour)
	if at := reports(10_000*ms, 1000*ms, hour); len(at) < 12 {
		t.Errorf("%d reports in an hour: the last intervals are longer than five minutes", len(at))
	}
	if at := reports(int64(time.Hour), hour/2, 4*hour); len(at) < 2 || at[1]-at[0] < hour/ms {
		t.Errorf("reports of a timeout of an hour after %v ms", at)
	}
}

// A caller whose grace period has ended by the time it has the queue's lock was not
// there when the driver woke the others.
func TestALateCallerDoesNotEnterTheQueue(t *testing.T) {
	old := GetState()
	Synchronize()
	g := ReadLock()
	driver := testkit.Async(Synchronize)
	testkit.Eventually(t, 10*time.Second, "a driver", func() bool { return seq.Load()%2 == 1 })
	w := new(waiter)
	w.parked.Lock() // as join leaves it
	if queued, drives := queue.enter(old, w); queued || drives {
		t.Errorf("with a grace period that has ended: queued %v, driver %v", queued, drives)
	}
	g.Unlock()
	testkit.Within(t, "the driver", driver)
}
