package rcu

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
)

func TestABatchClosesOnce(t *testing.T) {
	b, _ := counting("mine")
	os := addAll(b, 3*arraySize)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	wantOnce(t, os)
	if err := b.Close(); !errors.Is(err, ErrClosed) || !strings.HasPrefix(err.Error(), "rcu: Batch mine: ") {
		t.Errorf("the second Close: %v, want ErrClosed", err)
	}
	for range 2 * arraySize {
		testkit.Panics(t, func() { b.Add(new(object)) }, "Add to Batch mine, which is closed")
	}
	testkit.Within(t, "Barrier of a closed Batch", testkit.Async(b.Barrier))
	testkit.Panics(t, func() { b.Add(nil) }, "nil pointer to Batch mine")
	testkit.Panics(t, func() { NewBatch[object]("none", nil) }, "a nil func")
}

// An Add that meets Close either panics, or its object has had its call when Close
// returns.
func TestAnAddThatMeetsCloseIsRefusedOrDone(t *testing.T) {
	testkit.Procs(t, 4)
	for range 50 {
		b, done := counting("closing")
		var added atomic.Int64
		var started sync.WaitGroup
		var wg sync.WaitGroup
		for range 3 {
			started.Add(1)
			wg.Go(func() {
				defer func() {
					if s, _ := recover().(string); !strings.Contains(s, "which is closed") {
						t.Errorf("panic %q", s)
					}
				}()
				o := new(object)
				for i := 0; ; i++ {
					b.Add(o)
					added.Add(1)
					if i == 0 {
						started.Done()
					}
				}
			})
		}
		started.Wait()
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		atClose := done.Load()
		wg.Wait()
		if n := added.Load(); n != atClose {
			t.Fatalf("%d objects were added, and %d had their call when Close returned", n, atClose)
		}
	}
}

// What the function adds while Close waits for it is not refused.
func TestAFunctionMayAddWhileItsBatchCloses(t *testing.T) {
	var b *Batch[object]
	second := new(object)
	closing := make(chan struct{})
	b = NewBatch("closing", func(os []*object) {
		if os[0] != second {
			<-closing
			b.Add(second)
		}
		os[0].calls.Add(1)
	})
	b.Add(new(object))
	closed := testkit.Async(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	testkit.Eventually(t, 20*time.Second, "Close waits", func() bool { return b.q.waiting.Load() == 1 })
	close(closing)
	testkit.Within(t, "Close", closed)
	if second.calls.Load() != 1 {
		t.Error("the object that the function added had no call")
	}
}

func TestBarrierInACallbackPanics(t *testing.T) {
	defer depcheck.SetReporter(func(*depcheck.Report) {})() // lockdep reports it too
	ran := make(chan struct{})
	Call(func() {
		testkit.Panics(t, Barrier, "Barrier in a callback")
		close(ran)
	})
	testkit.Within(t, "the callback", ran)
	Barrier()

	other, _ := counting("other")
	var b *Batch[object]
	b = NewBatch("own", func(os []*object) {
		testkit.Panics(t, b.Barrier, "Barrier of Batch own in a callback")
		testkit.Panics(t, func() { b.Close() }, "Close of Batch own in a callback")
		addAll(other, 10)
		other.Barrier() // waits for others
		Barrier()
	})
	b.Add(new(object))
	testkit.Within(t, "Barrier", testkit.Async(b.Barrier))
	if err := b.Close(); err != nil {
		t.Errorf("after a Close that panicked: %v", err)
	}
}
