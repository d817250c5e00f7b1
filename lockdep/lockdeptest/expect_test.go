package lockdeptest_test

import (
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

// The goroutine that is to pass the report on gets no P before the function ends:
// one has the pinned section at fault, the other the function. Neither waits long,
// in case the collector wants to stop both.
func TestExpectAwaitsAReportThatIsOnItsWay(t *testing.T) {
	lockdep.Enable()
	testkit.Procs(t, 2)
	spinUntil := func(flag *atomic.Bool) {
		for end := time.Now().Add(50 * time.Millisecond); !flag.Load() && time.Now().Before(end); {
			testkit.SpinFor(time.Microsecond)
		}
	}
	var pinned, both, made, ended atomic.Bool
	var m lock.Mutex
	var done <-chan struct{}
	lockdeptest.Expect(t, func() {
		done = testkit.Async(func() {
			p := preempt.Disable()
			pinned.Store(true)
			spinUntil(&both)
			m.Lock() // pinned, which is against the rules
			m.Unlock()
			made.Store(true)
			spinUntil(&ended)
			p.Enable()
		})
		testkit.Eventually(t, time.Minute, "the goroutine is pinned", pinned.Load)
		p := preempt.Disable()
		both.Store(true)
		spinUntil(&made)
		p.Enable()
	}, lockdep.InvalidWaitContext)
	ended.Store(true)
	testkit.Within(t, "the section ends", done)
}
