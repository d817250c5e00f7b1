package rcu

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// idle waits until the package has no goroutine.
func idle(t *testing.T) {
	t.Helper()
	buf := make([]byte, 1<<20)
	var stack string
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		stack = string(buf[:runtime.Stack(buf, true)])
		if !strings.Contains(stack, "quiesce/rcu.work(") && !strings.Contains(stack, "quiesce/rcu.(*callQueue).work(") {
			return
		}
	}
	t.Fatalf("a goroutine of the package is left:\n%s", stack)
}

func TestNothingRunsWhenIdle(t *testing.T) {
	before := ReadStats()
	for range 300 {
		Call(func() {})
		StartPoll()
	}
	Synchronize()
	Barrier()
	idle(t)
	rest := ReadStats()
	time.Sleep(20 * time.Millisecond)
	if now := ReadStats(); now != rest {
		t.Errorf("something happened while idle: %+v, then %+v", rest, now)
	}
	if rest.Invoked-before.Invoked < 300 {
		t.Errorf("%d of 300 callbacks ran", rest.Invoked-before.Invoked)
	}
}

// The worker is about to end when the next work comes in. Nobody else is there
// who would start it.
func TestWorkThatComesWhenTheWorkerEndsIsNotForgotten(t *testing.T) {
	idle(t)
	for _, c := range []struct {
		name string
		work func() (done func() bool)
	}{
		{"Call", func() func() bool {
			var ran atomic.Bool
			Call(func() { ran.Store(true) })
			return ran.Load
		}},
		{"StartPoll", func() func() bool {
			cookie := StartPoll()
			return func() bool { return Poll(cookie) }
		}},
	} {
		for i, begin := 0, time.Now(); time.Since(begin) < stressTime; i++ {
			done := c.work()
			for spin := time.Now(); !done(); {
				if time.Since(spin) > 10*time.Second {
					t.Fatalf("%s: work %d was forgotten", c.name, i)
				}
				if i%2 == 0 {
					runtime.Gosched()
				}
			}
			for range i % 40 {
				sys.Pause(10)
			}
		}
	}
}

func TestCallFromEveryContextRunsAfterTheSection(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			var ended, early atomic.Bool
			ran := make(chan struct{})
			f.section(func() {
				Call(func() {
					early.Store(!ended.Load())
					close(ran)
				})
				testkit.SpinFor(500 * time.Microsecond)
				ended.Store(true)
			})
			testkit.Within(t, "the callback", ran)
			if early.Load() {
				t.Error("the callback ran inside of the section that registered it")
			}
		})
	}
}

func TestCallbackRunsUnpinnedAndMayBlock(t *testing.T) {
	var pinned bool
	done := make(chan struct{})
	p := preempt.Disable()
	Call(func() {
		pinned = preempt.Atomic() || preempt.InHardirq()
		time.Sleep(time.Millisecond)
		var mu sync.Mutex
		mu.Lock()
		time.AfterFunc(time.Millisecond, mu.Unlock)
		mu.Lock()
		close(done)
	})
	p.Enable()
	testkit.Within(t, "the callback", done)
	if pinned {
		t.Error("the callback ran in an atomic context")
	}
}

// Callbacks registered on one P run in their order, across arrays and
// batches, whatever the other Ps register.
func TestCallbacksOfOnePRunInTheirOrder(t *testing.T) {
	testkit.Procs(t, 4)
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := 0; !stop.Load(); i++ {
				Call(func() {})
				if i%100 == 0 {
					Barrier()
				}
			}
		})
	}
	type number struct{ p, n int }
	var ran []number // by the worker alone
	next := map[int]int{}
	for round := range 40 {
		p := preempt.Disable()
		id := testkit.Here()
		for range []int{1, 100, 255, 256, 600}[round%5] {
			c := number{id, next[id]}
			next[id]++
			Call(func() { ran = append(ran, c) })
		}
		p.Enable()
		runtime.Gosched()
	}
	stop.Store(true)
	wg.Wait()
	Barrier()
	want := map[int]int{}
	for _, c := range ran {
		if c.n != want[c.p] {
			t.Fatalf("callback %d of P %d ran when %d was due", c.n, c.p, want[c.p])
		}
		want[c.p]++
	}
	for id, n := range next {
		if want[id] != n {
			t.Errorf("P %d: %d of %d callbacks ran", id, want[id], n)
		}
	}
}

func TestCallbackThatCallsCallRunsItInALaterGracePeriod(t *testing.T) {
	const depth = 20
	var cookies []uint64
	done := make(chan struct{})
	var again func()
	again = func() {
		cookies = append(cookies, ReadStats().GracePeriods)
		if len(cookies) == depth {
			close(done)
			return
		}
		Call(again)
	}
	Call(again)
	testkit.Within(t, "a chain of 20 callbacks", done)
	for i := 1; i < depth; i++ {
		if cookies[i] == cookies[i-1] {
			t.Errorf("callbacks %d and %d, which registered it, ran after the same grace period", i, i-1)
		}
	}
}

// barrierCases are what Barriers wait for.
var barrierCases = []struct {
	name                       string
	goroutines, each, barriers int
	slow                       time.Duration // a slice's function, or the first callback of each goroutine
}{
	{"none", 0, 0, 1, 0},
	{"one", 1, 1, 1, 0},
	{"one that is slow", 1, 1, 1, 10 * time.Millisecond},
	{"more than an array", 1, arraySize + 1, 1, 0},
	{"many on many Ps", 8, 1000, 1, time.Millisecond},
	{"many barriers", 8, 300, 8, time.Millisecond},
}

func TestBarrierWaitsForEveryCallbackRegisteredBefore(t *testing.T) {
	testkit.Procs(t, 4)
	for _, c := range barrierCases {
		t.Run(c.name, func(t *testing.T) {
			var ran atomic.Int64
			var wg sync.WaitGroup
			for range c.goroutines {
				wg.Go(func() {
					for i := range c.each {
						Call(func() {
							if i == 0 {
								time.Sleep(c.slow)
							}
							ran.Add(1)
						})
					}
				})
			}
			wg.Wait()
			for range c.barriers {
				wg.Go(func() {
					Barrier()
					if got := ran.Load(); got != int64(c.goroutines*c.each) {
						t.Errorf("Barrier returned after %d of %d callbacks", got, c.goroutines*c.each)
					}
				})
			}
			testkit.Within(t, "Barrier", testkit.Async(wg.Wait))
		})
	}
}

// Its own callbacks already run when Barrier checks: they count anyway.
func TestBarrierWaitsForACallbackThatRuns(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	var ended atomic.Bool
	Call(func() {
		close(started)
		<-release
		time.Sleep(time.Millisecond)
		ended.Store(true)
	})
	<-started
	barrier := testkit.Async(Barrier)
	time.Sleep(2 * time.Millisecond)
	if testkit.IsClosed(barrier) {
		t.Error("Barrier returned while a callback ran")
	}
	close(release)
	testkit.Within(t, "Barrier", barrier)
	if !ended.Load() {
		t.Error("Barrier returned before the callback had")
	}
}

func TestCallOfNilPanics(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.Contains(s, "nil func") {
			t.Errorf("panic %q", s)
		}
		if preempt.Atomic() {
			t.Error("the panic left the goroutine pinned")
		}
	}()
	Call(nil)
}

// Registering continues while Ps come and go; nothing is lost.
func TestCallbacksSurviveGOMAXPROCSChanges(t *testing.T) {
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	const goroutines, each = 8, 1500
	var ran atomic.Int64
	var running atomic.Int32
	running.Store(goroutines)
	for range goroutines {
		go func() {
			defer running.Add(-1)
			for i := range each {
				Call(func() { ran.Add(1) })
				if i%32 == 0 {
					runtime.Gosched()
				}
			}
		}()
	}
	for i := 0; running.Load() > 0; i++ {
		runtime.GOMAXPROCS([]int{16, 1, 6, 2}[i%4])
		runtime.Gosched()
	}
	Barrier()
	if ran.Load() != goroutines*each {
		t.Errorf("%d of %d callbacks ran", ran.Load(), goroutines*each)
	}
}

func TestFastPathsDoNotAllocate(t *testing.T) {
	for name, f := range map[string]func(){
		"ReadLock+Unlock": func() { g := ReadLock(); g.Unlock() },
		"GetState+Poll":   func() { Poll(GetState()) },
		"Synchronize":     Synchronize,
	} {
		if n := testing.AllocsPerRun(100, f); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

// A callback that ends its goroutine, as testing's FailNow does, takes no
// other callback with it.
func TestACallbackThatCallsGoexitLosesNoOther(t *testing.T) {
	var ran atomic.Int64
	for i := range 500 {
		Call(func() {
			ran.Add(1)
			if i%100 == 7 {
				runtime.Goexit()
			}
		})
	}
	Barrier()
	if n := ran.Load(); n != 500 {
		t.Errorf("%d of 500 callbacks ran", n)
	}
	Barrier() // and the worker is in order
}

// A Barrier is no callback, at no moment that the caller can see.
func TestStatsAfterBarrierCountEveryCallbackAndNoBarrier(t *testing.T) {
	Barrier()
	before := ReadStats()
	if before.Callbacks != before.Invoked {
		t.Fatalf("after Barrier: %d callbacks, %d invoked", before.Callbacks, before.Invoked)
	}
	for i := range uint64(2000) {
		Call(func() {})
		Barrier()
		if s := ReadStats(); s.Callbacks-before.Callbacks != i+1 || s.Invoked-before.Invoked != i+1 {
			t.Fatalf("callback %d: %d registered, %d invoked", i+1, s.Callbacks-before.Callbacks, s.Invoked-before.Invoked)
		}
	}
}
