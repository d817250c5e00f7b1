package rcu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/preempt"
)

// The arrays keep nothing alive once the function has returned, and what is on the
// Go heap is alive until then.
func TestABatchKeepsItsObjectsAliveUntilTheirCallAndNotLonger(t *testing.T) {
	const n = 2*arraySize + 3
	var collected, bad atomic.Int64
	b := NewBatch("alive", func(os []*object) {
		runtime.GC()
		for _, o := range os {
			if o.next == nil || o.next.number != o.number {
				bad.Add(1)
			}
		}
	})
	g := ReadLock()
	for i := range n {
		o := &object{number: i, next: &object{number: i}}
		runtime.AddCleanup(o, func(int) { collected.Add(1) }, 0)
		b.Add(o)
	}
	runtime.GC()
	runtime.GC()
	if got := collected.Load(); got != 0 {
		t.Errorf("%d objects were collected before their call", got)
	}
	g.Unlock()
	b.Barrier()
	testkit.Eventually(t, 10*time.Second, "all objects are collected", func() bool {
		runtime.GC()
		return collected.Load() == n
	})
	if bad.Load() != 0 {
		t.Errorf("%d objects were not what they had been", bad.Load())
	}
	runtime.KeepAlive(b)
}

func TestAddDoesNotAllocateInASteadyFlow(t *testing.T) {
	b, _ := counting("flow")
	os := make([]object, 8*arraySize)
	flow := func() {
		for i := range os {
			b.Add(&os[i])
		}
		b.Barrier()
	}
	for range 20 {
		flow()
	}
	// Barrier and the worker's start and waits are a few objects for each flow.
	if n := testing.AllocsPerRun(20, flow) / float64(len(os)); n > 0.02 {
		t.Errorf("%v allocations for each Add", n)
	}
	pinned := func() {
		p := preempt.Disable()
		for i := range arraySize {
			b.Add(&os[i])
		}
		p.Enable()
		b.Barrier()
	}
	pinned()
	var l lock.Raw
	l.LockIRQ()
	b.Add(&os[0])
	l.UnlockIRQ()
}

func TestABatchRestsWhenItIsIdle(t *testing.T) {
	b, _ := counting("idle")
	addAll(b, 1000)
	b.Barrier()
	idle(t)
	testkit.Eventually(t, 10*time.Second, "the watchdog rests", func() bool {
		watch.mu.Lock()
		defer watch.mu.Unlock()
		return len(watch.queues) == 0 && !b.q.working.Load()
	})
}

// A Batch that is dropped runs its function for what was added, and is collected.
func TestADroppedBatchIsCollected(t *testing.T) {
	collected := make(chan struct{})
	var done *atomic.Int64
	func() {
		var b *Batch[object]
		b, done = counting("dropped")
		runtime.AddCleanup(b, func(int) { close(collected) }, 0)
		addAll(b, 3*arraySize)
	}()
	testkit.Eventually(t, 20*time.Second, "a dropped Batch is collected", func() bool {
		runtime.GC()
		return testkit.IsClosed(collected)
	})
	if n := done.Load(); n != 3*arraySize {
		t.Errorf("%d of %d objects", n, 3*arraySize)
	}
}

// The worker belongs to nobody who adds.
func TestTheWorkerOfABatchInheritsNothing(t *testing.T) {
	found := make(chan []string, 1)
	b := NewBatch("labels", func([]*object) { found <- testkit.Goroutines("TheWorkerOfABatchInheritsNothing.func1") })
	testkit.Labelled(func() { b.Add(new(object)) })
	if g := <-found; len(g) != 1 || testkit.HasLabel(g[0]) {
		t.Errorf("the worker has the labels of the goroutine that added:\n%q", g)
	}
}

// Objects that are added in a bubble have their call in it: the function may use the
// bubble's channels. Everything added there is waited for.
func TestABatchInABubble(t *testing.T) {
	defer depcheck.SetReporter(func(*depcheck.Report) {})() // of the Barrier in a callback
	outside, done := counting("outside")
	os := make([]object, 30)
	synctest.Test(t, func(t *testing.T) {
		got := make(chan *object, len(os))
		inside := NewBatch("inside", func(os []*object) {
			for _, o := range os {
				time.Sleep(time.Second) // of the bubble
				got <- o
			}
		})
		for i := range os {
			inside.Add(&os[i])
			outside.Add(&os[i])
		}
		time.Sleep(2 * time.Second)
		inside.Barrier()
		outside.Barrier()
		if len(got) != len(os) {
			t.Errorf("%d of %d objects", len(got), len(os))
		}
		var b *Batch[object]
		b = NewBatch("own", func([]*object) { testkit.Panics(t, b.Barrier, "Barrier of Batch own in a callback") })
		b.Add(&os[0])
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		testkit.Panics(t, func() { b.Add(&os[0]) }, "which is closed")
		if err := inside.Close(); err != nil {
			t.Error(err)
		}
	})
	if done.Load() != int64(len(os)) {
		t.Errorf("%d of %d objects of a Batch made outside of the bubble", done.Load(), len(os))
	}
	wantOnce(t, os)
	idle(t)
}

// Objects may be of any type: words of the Go heap, of a global, of no heap at all.
func TestObjectsOfABatchMayBeAnywhere(t *testing.T) {
	var sum atomic.Int64
	ints := NewBatch("ints", func(is []*int32) {
		for _, i := range is {
			sum.Add(int64(*i))
		}
	})
	tiny := make([]int32, 100)
	for i := range tiny {
		tiny[i] = 1
		ints.Add(&tiny[i])
	}
	ints.Add((*int32)(unsafe.Pointer(&global)))
	ints.Barrier()
	if sum.Load() != 100+7 {
		t.Errorf("the sum is %d", sum.Load())
	}
	var n atomic.Int64
	empty := NewBatch("empty", func(os []*struct{}) { n.Add(int64(len(os))) })
	for range 10 {
		empty.Add(new(struct{}))
	}
	empty.Barrier()
	if n.Load() != 10 {
		t.Errorf("%d of 10 objects without size", n.Load())
	}
}

var global int32 = 7
