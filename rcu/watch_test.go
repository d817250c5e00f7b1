package rcu

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/stall"
	"quiesce/internal/testkit"
)

func init() {
	scenarios["callback blocks"] = func() {
		reportedTwice(func(release chan struct{}) func() {
			Call(func() {})
			Call(blocks(release))
			for range 7 {
				Call(func() {})
			}
			return Barrier
		})
	}
	scenarios["batch blocks"] = func() {
		var stop func()
		reportedTwice(func(release chan struct{}) func() {
			b := NewBatch("mine", batchBlocks(release))
			for range 7 {
				b.Add(new(int))
			}
			stop = testkit.Repeat(func() { // another queue, which is well
				Call(nothing)
				time.Sleep(time.Millisecond)
			})
			return b.Barrier
		})
		stop()
	}
}

// reportedTwice prints the log of a queue that begin blocks until release is
// closed, once it has two lines. begin returns the queue's Barrier.
func reportedTwice(begin func(release chan struct{}) (barrier func())) {
	StallTimeout = 40 * time.Millisecond
	var sink testkit.Buffer
	slog.SetDefault(slog.New(slog.NewJSONHandler(&sink, nil)))
	release := make(chan struct{})
	ended := testkit.Async(begin(release))
	for end := time.Now().Add(20 * time.Second); strings.Count(sink.String(), "\n") < 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	// What package inspect shows says the same.
	if f := figures(); len(f.Running) != 1 || !strings.Contains(strings.ToLower(f.Running[0].Func), "blocks.func1") || f.Running[0].Ran <= 0 {
		fmt.Printf("running: %+v\n", f.Running)
	}
	if h := stall.History(); len(h) < 2 || h[0].Kind != "callback" || !strings.Contains(strings.ToLower(h[0].What), "blocks.func1") {
		fmt.Printf("history: %+v\n", h)
	}
	close(release)
	<-ended
	fmt.Print(sink.String())
}

//go:noinline
func batchBlocks(release chan struct{}) func([]*int) { return func([]*int) { <-release } }

//go:noinline
func blocks(release chan struct{}) func() { return func() { <-release } }

func TestWhatBlocksIsReportedByName(t *testing.T) {
	t.Parallel() // processes of their own
	for scenario, parts := range map[string][]string{
		"batch blocks":    {`"batch":"mine"`, "rcu.batchBlocks.func1"},
		"callback blocks": {"a callback holds up all others", "rcu.blocks.func1"},
	} {
		t.Run(scenario, func(t *testing.T) {
			t.Parallel()
			out, err := child(scenario)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) < 2 {
				t.Fatalf("it is not reported again:\n%s", out)
			}
			for _, line := range lines {
				for _, part := range append(parts, "watch_test.go:", `"barriers_waiting":1`) {
					if !strings.Contains(line, part) {
						t.Errorf("%q is not in %s", part, line)
					}
				}
			}
		})
	}
}

func TestTheWatchdogRestsWhenCallbacksDo(t *testing.T) {
	Call(func() {})
	Barrier()
	testkit.Eventually(t, 10*time.Second, "the end of the worker", func() bool {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		return len(watch.queues) == 0 && !calls.working.Load()
	})
}

// The arrays of callbacks that have run are used again: a shard keeps as many as it
// needed lately, up to a limit, and a flow that needs no more allocates none. What
// they had is not kept.
func TestArraysOfCallbacksAreRecycled(t *testing.T) {
	var q callQueue
	q.init("test", 1, q.invokeFuncs, 0)
	s := &q.shards[0]
	for _, n := range []int{1, 2, 5, unusedMax, unusedMax + 3} {
		var before []*array
		for round := range 3 {
			addAtOnce(t, &q, n*arraySize)
			kept := keptBy(t, s)
			if n == 1 && len(kept) != 1 || n > 1 && len(kept) != min(n, unusedMax) {
				t.Errorf("%d arrays are kept, %d were in use at a time", len(kept), n)
			}
			for _, a := range kept {
				if round > 0 && n <= unusedMax && !slices.Contains(before, a) {
					t.Errorf("%d at a time: an array was allocated in round %d", n, round)
				}
			}
			before = kept
		}
	}
	// A need that was once is forgotten.
	for range 2 * peakWindow {
		q.add(funcItem(nothing))
		q.barrier()
	}
	addAtOnce(t, &q, 3*arraySize)
	for range unusedMax {
		q.add(funcItem(nothing))
		q.barrier()
	}
	if kept := keptBy(t, s); len(kept) > 3 {
		t.Errorf("%d arrays are kept, 3 were in use at a time lately", len(kept))
	}
}

func nothing() {}

// addAtOnce registers n callbacks, which the worker finds all at the same time, and
// waits for them.
func addAtOnce(t *testing.T, q *callQueue, n int) {
	t.Helper()
	testkit.Eventually(t, 10*time.Second, "the worker ends", func() bool { return q.working.CompareAndSwap(false, true) })
	for range n {
		q.add(funcItem(nothing))
	}
	q.working.Store(false)
	q.barrier()
}

// keptBy returns the arrays that the shard keeps, which must be empty.
func keptBy(t *testing.T, s *shard) (all []*array) {
	t.Helper()
	if s.used != 0 || s.first != nil {
		t.Errorf("%d arrays are in use when all callbacks have run", s.used)
	}
	for a := s.unused; a != nil; a = a.next {
		all = append(all, a)
		if a.n != 0 || a.done != 0 {
			t.Errorf("an unused array has %d callbacks, %d done", a.n, a.done)
		}
		for i, item := range a.items {
			if item != nil {
				t.Fatalf("callback %d is kept after it ran", i)
			}
		}
	}
	if len(all) != s.unusedN {
		t.Errorf("%d arrays are kept, the shard says %d", len(all), s.unusedN)
	}
	return all
}

func init() {
	scenarios["stall handler"] = func() {
		StallTimeout = 20 * time.Millisecond
		ran := make(chan struct{})
		slog.SetDefault(slog.New(callingHandler{slog.NewTextHandler(&testkit.Buffer{}, nil), sync.OnceFunc(func() { close(ran) })}))
		readFor(500 * time.Millisecond)
		Synchronize()
		<-ran
		fmt.Println("callback ran")
	}
}

// A handler of stall reports is user code: it may read the statistics and
// register callbacks.
func TestStallHandlerMayUseThePackage(t *testing.T) {
	t.Parallel() // a process of its own
	out, err := child("stall handler")
	if err != nil || !strings.Contains(out, "callback ran") {
		t.Errorf("%v\n%s", err, out)
	}
}

type callingHandler struct {
	slog.Handler
	ran func()
}

func (h callingHandler) Handle(context.Context, slog.Record) error {
	ReadStats()
	Poll(StartPoll())
	g := ReadLock()
	g.Unlock()
	Call(h.ran)
	return nil
}

// readFor begins a section on a goroutine of its own, which ends it then.
func readFor(d time.Duration) {
	inside := make(chan struct{})
	go func() {
		g := ReadLock()
		close(inside)
		time.Sleep(d)
		g.Unlock()
	}()
	<-inside
}
