package rcu

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

func init() {
	scenarios["callback blocks"] = func() {
		StallTimeout = 40 * time.Millisecond
		var sink testkit.Buffer
		slog.SetDefault(slog.New(slog.NewJSONHandler(&sink, nil)))
		release := make(chan struct{})
		Call(func() {})
		Call(blocks(release))
		for range 7 {
			Call(func() {})
		}
		barrier := testkit.Async(Barrier)
		for end := time.Now().Add(20 * time.Second); strings.Count(sink.String(), "\n") < 2 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		close(release)
		<-barrier
		fmt.Print(sink.String())
	}
}

//go:noinline
func blocks(release chan struct{}) func() { return func() { <-release } }

func TestACallbackThatBlocksIsReportedByName(t *testing.T) {
	out, err := child("callback blocks")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) < 2 {
		t.Fatalf("it is not reported again:\n%s", out)
	}
	for _, line := range lines {
		for _, part := range []string{"a callback holds up all others", "rcu.blocks.func1", "watch_test.go:", `"barriers_waiting":1`} {
			if !strings.Contains(line, part) {
				t.Errorf("%q is not in %s", part, line)
			}
		}
	}
}

func TestTheWatchdogRestsWhenCallbacksDo(t *testing.T) {
	Call(func() {})
	Barrier()
	testkit.Eventually(t, 10*time.Second, "the end of the worker", func() bool {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		return !watch.on && !calls.working.Load()
	})
}

// The arrays of callbacks that have run are used again: a steady flow allocates
// none, in any context.
func TestArraysOfCallbacksAreRecycled(t *testing.T) {
	run := func(n int) {
		for range n {
			Call(nothing)
		}
		Barrier()
	}
	for range 4 {
		run(2 * arraySize)
	}
	s := shardOf(t)
	if s.unusedN != unusedMax {
		t.Errorf("%d arrays are kept, want %d", s.unusedN, unusedMax)
	}
	for a := s.unused; a != nil; a = a.next {
		if a.n != 0 || a.done != 0 {
			t.Errorf("an unused array has %d callbacks, %d done", a.n, a.done)
		}
		for i, fn := range a.fns {
			if fn != nil {
				t.Fatalf("callback %d is kept after it ran", i)
			}
		}
	}
}

func nothing() {}

// shardOf returns a shard that has been used.
func shardOf(t *testing.T) *shard {
	for i := range calls.shard {
		if s := &calls.shard[i]; s.unusedN > 0 {
			return s
		}
	}
	t.Fatal("no shard keeps an array")
	return nil
}
