package slab

import (
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// kmalloc_nolock's tests in lib/tests/slub_kunit.c.

// nolock is what the kernel calls from its NMI handler and from its kprobe: an
// allocation that takes no lock, and a free of either kind.
func nolock(h *Heap, ok, failed *atomic.Int64) {
	p := h.Kmalloc(64, gfp.NoLocks|gfp.NoWarn)
	if p == nil {
		failed.Add(1)
		return
	}
	ok.Add(1)
	if ok.Load()%2 == 0 {
		h.Kfree(p)
	} else {
		h.KfreeRCU(p)
	}
}

// kmalloc_nolock_and_friends: a million Kmalloc with Kfree or KfreeRCU, a
// thousand at a time, while hard interrupt handlers and sections with
// interrupts disabled allocate and free without locks, on the same Ps and on
// others. In the kernel's _perf case the handler is an NMI by a hardware
// counter.
func TestSLUBKUnitNoLocksInHardirqsDuringAMillionKmallocs(t *testing.T) {
	rounds := 1000
	if testing.Short() || raceEnabled {
		rounds = 100
	}
	quiet(t)
	a := newPages(t, 0)
	h := NewHeap(a)
	if err := h.Prepare(64); err != nil {
		t.Fatal(err)
	}
	var ok, failed atomic.Int64
	handler := func() { nolock(h, &ok, &failed) }
	stop := testkit.Repeat(func() { preempt.Hardirq(handler) })
	ps := make([]unsafe.Pointer, 1000)
	for range rounds {
		for i := range ps {
			if ps[i] = h.Kmalloc(64, gfp.Kernel); ps[i] == nil {
				t.Fatal("no memory")
			}
			if i%16 == 0 {
				preempt.Hardirq(handler)
			}
		}
		for i, p := range ps {
			if i%16 == 8 { // the handler waits until interrupts are on again
				s := preempt.DisableIRQ()
				preempt.Hardirq(handler)
				handler()
				s.Restore()
			}
			if i%2 == 0 {
				h.Kfree(p)
			} else {
				h.KfreeRCU(p)
			}
		}
	}
	stop()
	t.Logf("%d Kmalloc; in handlers: alloc_ok %d, alloc_fail %d", rounds*len(ps), ok.Load(), failed.Load())
	if ok.Load() == 0 {
		t.Error("no allocation in a handler was served")
	}
	closeSound(t, h, a)
}

// …_kprobe: the same from where the cache's own lock is held, which is where
// the kernel's test places its probe.
func TestSLUBKUnitNoLocksUnderTheSlabLock(t *testing.T) {
	rounds := 20_000
	if testing.Short() || raceEnabled {
		rounds /= 10
	}
	quiet(t)
	a := newPages(t, 0)
	h := NewHeap(a)
	if err := h.Prepare(64); err != nil {
		t.Fatal(err)
	}
	c := h.class[class(64)].Load()
	var ok, failed atomic.Int64
	for i := range rounds {
		p := h.Kmalloc(64, gfp.Kernel)
		c.mu.LockIRQ()
		switch i % 3 {
		case 0:
			preempt.Hardirq(func() { nolock(h, &ok, &failed) })
		case 1:
			s := preempt.DisableIRQ()
			nolock(h, &ok, &failed)
			s.Restore()
		case 2:
			nolock(h, &ok, &failed)
		}
		c.mu.UnlockIRQ()
		h.KfreeRCU(p)
	}
	t.Logf("alloc_ok %d, alloc_fail %d", ok.Load(), failed.Load())
	if ok.Load() == 0 {
		t.Error("no allocation under the lock was served")
	}
	closeSound(t, h, a)
}
