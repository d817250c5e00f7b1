package rcu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// object is what the tests add to Batches.
type object struct {
	number int
	calls  atomic.Int32 // with this object
	next   *object      // makes it one that the collector looks into
}

// counting returns a Batch that counts its calls with each object.
func counting(name string) (b *Batch[object], done *atomic.Int64) {
	done = new(atomic.Int64)
	return NewBatch(name, func(os []*object) {
		for _, o := range os {
			o.calls.Add(1)
		}
		done.Add(int64(len(os)))
	}), done
}

// addAll adds n objects and returns them.
func addAll(b *Batch[object], n int) []object {
	os := make([]object, n)
	for i := range os {
		os[i].number = i
		b.Add(&os[i])
	}
	return os
}

func wantOnce(t *testing.T, os []object) {
	t.Helper()
	for i := range os {
		if n := os[i].calls.Load(); n != 1 {
			t.Fatalf("object %d of %d was in %d calls", i, len(os), n)
		}
	}
}

func TestABatchHasEveryObjectOnce(t *testing.T) {
	for _, n := range []int{0, 1, arraySize, arraySize + 1, 10*arraySize + 7} {
		b, _ := counting("once")
		os := addAll(b, n)
		b.Barrier()
		wantOnce(t, os)
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		wantOnce(t, os)
	}
}

// Goroutines add while Ps come and go, more of them than when the Batch was made.
func TestABatchHasEveryObjectOnceWhilePsComeAndGo(t *testing.T) {
	testkit.Procs(t, 2)
	b, done := counting("GOMAXPROCS")
	const goroutines, each = 8, 1500
	all := make([][]object, goroutines)
	var running atomic.Int32
	running.Store(goroutines)
	for id := range goroutines {
		go func() {
			defer running.Add(-1)
			all[id] = make([]object, each)
			for i := range all[id] {
				b.Add(&all[id][i])
				if i%32 == 0 {
					runtime.Gosched()
				}
				if i%500 == 0 {
					b.Barrier()
				}
			}
		}()
	}
	for i := 0; running.Load() > 0; i++ {
		runtime.GOMAXPROCS([]int{16, 1, 6, 2}[i%4])
		runtime.Gosched()
	}
	b.Barrier()
	if done.Load() != goroutines*each {
		t.Errorf("%d of %d objects", done.Load(), goroutines*each)
	}
	for _, os := range all {
		wantOnce(t, os)
	}
}

// Objects added on one P come in their order, in one call or in several.
func TestObjectsOfOnePComeInTheirOrder(t *testing.T) {
	var got []int // by the worker alone
	b := NewBatch("order", func(os []*object) {
		for i, o := range os {
			got = append(got, o.number)
			os[i] = nil // the slice is the function's
		}
	})
	os := make([]object, 3*arraySize)
	p := preempt.Disable()
	for i := range os {
		os[i].number = i
		b.Add(&os[i])
	}
	p.Enable()
	b.Barrier()
	for i, n := range got {
		if n != i {
			t.Fatalf("object %d came when %d was due", n, i)
		}
	}
	if len(got) != len(os) {
		t.Errorf("%d of %d objects", len(got), len(os))
	}
}

func TestABatchWaitsForTheSectionOfEveryContext(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			var ended, early, atomically atomic.Bool
			ran := make(chan struct{})
			b := NewBatch("context", func([]*object) {
				early.Store(!ended.Load())
				atomically.Store(preempt.Atomic() || preempt.InHardirq())
				close(ran)
			})
			f.section(func() {
				b.Add(new(object))
				testkit.SpinFor(500 * time.Microsecond)
				ended.Store(true)
			})
			testkit.Within(t, "the function", ran)
			if early.Load() {
				t.Error("the function had the object inside of the section that added it")
			}
			if atomically.Load() {
				t.Error("the function ran in an atomic context")
			}
		})
	}
}

// A grace period runs that does not wait for the second reader. What is added in the
// section of that one does not ride it, wherever the worker is.
func TestAnObjectDoesNotRideAGracePeriodThatBeganBefore(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	type guarded struct{ ended *atomic.Bool } // nil: no reader
	var early atomic.Int64
	b := NewBatch("rides", func(os []*guarded) {
		for _, o := range os {
			if o.ended != nil && !o.ended.Load() {
				early.Add(1)
			}
		}
	})
	for range 10 {
		old := index.Load()
		first := ReadLock()
		b.Add(new(guarded))
		time.Sleep(time.Millisecond) // the worker starts
		synchronized := testkit.Async(Synchronize)
		// From the moment when the index changed over readers are late.
		testkit.Eventually(t, 30*time.Second, "the grace period begins", func() bool { return index.Load() != old })
		var ended atomic.Bool
		second := ReadLock()
		b.Add(&guarded{&ended})
		first.Unlock()
		time.Sleep(20 * time.Millisecond)
		ended.Store(true)
		second.Unlock()
		<-synchronized
		b.Barrier()
	}
	if n := early.Load(); n != 0 {
		t.Errorf("%d objects had their call before their readers left", n)
	}
}

// A Barrier comes at any moment of the worker's.
func TestABarrierHasWhatWasAddedBeforeItWhereverTheWorkerIs(t *testing.T) {
	testkit.Procs(t, 4)
	b, _ := counting("wherever")
	testkit.Within(t, "Barriers", testkit.AsyncN(4, func(id int) {
		for i := range 200 {
			var o object
			b.Add(&o)
			if b.Barrier(); o.calls.Load() != 1 {
				t.Errorf("goroutine %d, Barrier %d: it returned before the call", id, i)
				return
			}
		}
	}))
}

func TestBarrierOfABatchWaitsForEveryObjectAddedBefore(t *testing.T) {
	testkit.Procs(t, 4)
	for _, c := range barrierCases {
		t.Run(c.name, func(t *testing.T) {
			var done atomic.Int64
			b := NewBatch("barrier", func(os []*object) {
				time.Sleep(c.slow)
				done.Add(int64(len(os)))
			})
			var wg sync.WaitGroup
			for range c.goroutines {
				wg.Go(func() { addAll(b, c.each) })
			}
			wg.Wait()
			for range c.barriers {
				wg.Go(func() {
					b.Barrier()
					if got := done.Load(); got != int64(c.goroutines*c.each) {
						t.Errorf("Barrier returned after %d of %d objects", got, c.goroutines*c.each)
					}
				})
			}
			testkit.Within(t, "Barrier", testkit.Async(wg.Wait))
		})
	}
}

// A blocked function holds up its own Batch, and nothing else.
func TestABlockedBatchHoldsUpNoOther(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	blocked := NewBatch("blocked", func([]*object) { close(started); <-release })
	blocked.Add(new(object))
	testkit.Within(t, "the function that blocks", started)
	own := testkit.Async(blocked.Barrier)

	other, _ := counting("other")
	os := addAll(other, 1000)
	testkit.Within(t, "another Batch", testkit.Async(other.Barrier))
	wantOnce(t, os)
	var called atomic.Bool
	Call(func() { called.Store(true) })
	testkit.Within(t, "rcu.Barrier", testkit.Async(Barrier))
	if !called.Load() {
		t.Error("a callback of Call did not run")
	}
	testkit.Within(t, "Synchronize", testkit.Async(Synchronize))
	cookie := StartPoll()
	testkit.Eventually(t, 20*time.Second, "the cookie", func() bool { return Poll(cookie) })

	if testkit.IsClosed(own) {
		t.Error("Barrier returned while the function ran")
	}
	close(release)
	testkit.Within(t, "its own Barrier", own)
}

func TestAFunctionMayAddToItsBatch(t *testing.T) {
	var b *Batch[object]
	depth := make(chan int, 1)
	depth <- 0
	done := make(chan struct{})
	b = NewBatch("again", func(os []*object) {
		n := <-depth + 1
		depth <- n
		if n == 20 {
			close(done)
			return
		}
		b.Add(os[0])
	})
	b.Add(new(object))
	testkit.Within(t, "a chain of 20", done)
}

// A function that ends its goroutine had its objects; the others get theirs.
func TestABatchFunctionThatCallsGoexitLosesNoObject(t *testing.T) {
	var n atomic.Int64
	b := NewBatch("Goexit", func(os []*object) {
		for _, o := range os {
			o.calls.Add(1)
		}
		if n.Add(1)%2 == 1 {
			runtime.Goexit()
		}
	})
	os := addAll(b, 20*arraySize)
	testkit.Within(t, "Barrier", testkit.Async(b.Barrier))
	wantOnce(t, os)
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}
