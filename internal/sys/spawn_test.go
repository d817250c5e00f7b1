package sys

import (
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startings are the ways to have a function run on a goroutine of its own.
var startings = map[string]func(fn func()){
	"Go": Go,
	"Alarm": func(fn func()) {
		alarmed.Store(&fn)
		testAlarm.Set(1000)
	},
}

var (
	testAlarm = NewAlarm(func() { (*alarmed.Load())() })
	alarmed   atomic.Pointer[func()]
)

// within waits by system call for a few seconds, which is the real clock's time
// inside of a bubble too.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := Nanotime(); !ok(); Sleep(100_000) {
		if Nanotime()-start > 5_000_000_000 {
			t.Fatalf("%s: not within 5 s", what)
		}
	}
}

// profileOf returns the text of the goroutine profile, with labels, taken while
// a function that was started runs.
func profileOf(t *testing.T, start func(fn func())) string {
	t.Helper()
	var runs, end atomic.Bool
	var ended atomic.Bool
	start(func() {
		runs.Store(true)
		labelledWork(&end)
		ended.Store(true)
	})
	within(t, "start", runs.Load)
	var text strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		t.Fatal(err)
	}
	end.Store(true)
	within(t, "end", ended.Load)
	for _, g := range strings.Split(text.String(), "\n\n") {
		if strings.Contains(g, "sys.labelledWork") {
			return g
		}
	}
	t.Fatal("the goroutine is in no profile")
	return ""
}

//go:noinline
func labelledWork(end *atomic.Bool) {
	for !end.Load() {
		time.Sleep(100 * time.Microsecond)
	}
}

func TestAStartedGoroutineHasNoLabels(t *testing.T) {
	for name, start := range startings {
		pprof.Do(context.Background(), pprof.Labels("tenant", "alice"), func(context.Context) {
			if g := profileOf(t, start); strings.Contains(g, "alice") {
				t.Errorf("%s: the goroutine has its caller's labels:\n%s", name, g)
			}
			if g := profileOf(t, func(fn func()) { go fn() }); !strings.Contains(g, "alice") {
				t.Errorf("a go statement hands no labels on, so that this test shows nothing:\n%s", g)
			}
		})
	}
}

// A goroutine of a bubble has the bubble's clock, which begins in the year 2000,
// and the bubble would not end before it.
func TestAStartedGoroutineIsInNoBubble(t *testing.T) {
	for name, start := range startings {
		var end, ended atomic.Bool
		var year atomic.Int64
		synctest.Test(t, func(t *testing.T) {
			start(func() {
				year.Store(int64(time.Now().Year()))
				within(t, "the end of the bubble", end.Load)
				ended.Store(true)
			})
			within(t, name+" starts", func() bool { return year.Load() != 0 })
		})
		if ended.Load() {
			t.Errorf("%s: the bubble waited for the goroutine", name)
		}
		if year.Load() == 2000 {
			t.Errorf("%s: the goroutine has the time of its caller's bubble", name)
		}
		end.Store(true)
		within(t, name+" ends", ended.Load)
	}
}

func TestAGoroutineIsStartedWhilePinned(t *testing.T) {
	for name, start := range startings {
		for range 1000 {
			var ran atomic.Bool
			ProcPin()
			start(func() { ran.Store(true) })
			ProcUnpin()
			within(t, name, ran.Load)
		}
	}
}

// All of them run, however many start at a time, pinned or not, in a bubble or
// not. Each one's caller comes before it, for the race detector too.
func TestEveryFunctionRunsOnce(t *testing.T) {
	const starters, each = 8, 2000
	var runs [starters * each]struct {
		set int // not atomic, on purpose
		ran atomic.Int32
	}
	var done sync.WaitGroup
	for id := range starters {
		done.Go(func() {
			for i := range each {
				r := &runs[id*each+i]
				r.set = i + 1
				if i%2 == 0 {
					ProcPin()
				}
				Go(func() {
					if r.set != i+1 {
						t.Errorf("function %d sees %d", i+1, r.set)
					}
					r.ran.Add(1)
				})
				if i%2 == 0 {
					ProcUnpin()
				}
			}
		})
	}
	done.Wait()
	for i := range runs {
		within(t, "run", func() bool { return runs[i].ran.Load() > 0 })
	}
	for i := range runs {
		if n := runs[i].ran.Load(); n != 1 {
			t.Errorf("function %d ran %d times", i, n)
		}
	}
}

// The function that runs on the alarm's own goroutine does not hold up others.
func TestAFunctionThatBlocksHoldsUpNoOther(t *testing.T) {
	var end, ended atomic.Bool
	Go(func() {
		within(t, "the end", end.Load)
		ended.Store(true)
	})
	for range 10 {
		var ran atomic.Bool
		Go(func() { ran.Store(true) })
		within(t, "start", ran.Load)
	}
	end.Store(true)
	within(t, "the end", ended.Load)
}

// Every start has one goroutine, and none stays.
func TestNoGoroutineWaitsBetweenStarts(t *testing.T) {
	count := func() int {
		buf := make([]byte, 1<<20)
		return strings.Count(string(buf[:runtime.Stack(buf, true)]), "sys.runStarts")
	}
	var ran atomic.Bool
	Go(func() { ran.Store(true) })
	within(t, "start", ran.Load)
	within(t, "no goroutine is left", func() bool { return count() == 0 })
}

func TestAnAlarmThatIsSetAgainGoesOffOnce(t *testing.T) {
	var times atomic.Int32
	fn := func() { times.Add(1) }
	alarmed.Store(&fn)
	testAlarm.Set(3_600_000_000_000)
	testAlarm.Set(1_000_000)
	within(t, "the alarm", func() bool { return times.Load() > 0 })
	Sleep(20_000_000)
	if n := times.Load(); n != 1 {
		t.Errorf("it went off %d times", n)
	}
}

// The goroutine starts about as soon as that of a go statement.
func BenchmarkStart(b *testing.B) {
	for _, s := range []struct {
		name  string
		start func(func())
	}{{"go", func(fn func()) { go fn() }}, {"Go", Go}} {
		b.Run(s.name, func(b *testing.B) {
			ch := make(chan struct{})
			for range b.N {
				s.start(func() { ch <- struct{}{} })
				<-ch
			}
		})
	}
}
