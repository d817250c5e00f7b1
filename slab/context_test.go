package slab

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// contexts are the places from which FreeRCU may be called.
var rawLock lock.Raw
var contexts = []struct {
	name string
	in   func(fn func())
}{
	{"task", func(fn func()) { fn() }},
	{"reader", func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() }},
	{"preempt.Disable", whilePinned},
	{"lock.Raw", func(fn func()) { rawLock.Lock(); fn(); rawLock.Unlock() }},
	{"DisableIRQ", func(fn func()) { s := preempt.DisableIRQ(); fn(); s.Restore() }},
	{"Hardirq", func(fn func()) { preempt.Hardirq(fn) }},
	{"Softirq", func(fn func()) { preempt.Softirq(fn) }},
}

// whilePinned runs fn in a pinned section.
func whilePinned(fn func()) {
	p := preempt.Disable()
	fn()
	p.Enable()
}

// The contexts are real: with sleeping spin locks (preempt_rt=1), an
// allocation with plain gfp.NoWait in a raw atomic context, caches exhausted
// and the zone lock held elsewhere, ends the process, in Go's own words. The
// kernel's are "scheduling while atomic".
func TestPlainNoWaitInARawAtomicContextEndsTheProcess(t *testing.T) {
	if isChild() {
		a := newPages(t, 0)
		c := newTest[cell](t, a)
		c.Free(c.Alloc(gfp.Kernel))
		holdZone(a)
		p := preempt.Disable()
		for range 1 << 20 { // the first ones come from this P's sheaves and lists
			c.Alloc(gfp.NoWait) //quiescevet:ignore the test wants its end
		}
		p.Enable()
		t.Fatal("still alive")
	}
	out, err := child(t, "preempt_rt=1")
	if err == nil || !strings.Contains(out, "schedule: holding locks") {
		t.Errorf("child ended with %v and said:\n%s", err, tail(out))
	}
}

// The same with gfp.NoLocks returns nil. An object that FreeRCU can find no
// array for goes on the fallback chain, and is reclaimed after its grace
// period, which a reader holds up for a while.
func TestNoLocksInARawAtomicContextReturnsNilAndTheChainReclaims(t *testing.T) {
	if isChild() {
		noLocks(t)
		return
	}
	for _, options := range []string{"preempt_rt=1", "preempt_rt=0", "preempt_rt=1,membarrier=0"} {
		out, err := child(t, options)
		if err != nil || !strings.Contains(out, "refused, chained, reclaimed") {
			t.Errorf("%s: child ended with %v and said:\n%s", options, err, tail(out))
		}
	}
}

func noLocks(t *testing.T) {
	testkit.Procs(t, 1) // a goroutine that would help a refused allocation runs later
	a := newPages(t, 0)
	var back atomic.Int64
	c := newTest[cell](t, a, withHook(func(offs []uint32) { back.Add(int64(len(offs))) }))
	first := c.Alloc(gfp.Kernel)
	release := holdZone(a)

	p := preempt.Disable()
	for c.Alloc(gfp.NoLocks|gfp.NoWarn) != nil { // leaked, as are the pages: the process ends soon
	}
	for a.Alloc(0, gfp.NoLocks|gfp.NoWarn) != nil {
	}
	for c.c.popEmpty() != 0 { // the last array
	}
	c.FreeRCU(first)
	chained := c.Stats // not now: it takes a lock
	p.Enable()

	if s := chained(); s.Refusals != 1 || s.Fallback != 1 {
		t.Fatalf("refusals %d, on the chain %d", s.Refusals, s.Fallback)
	}
	eventually(t, "reclaim of the chained object", func() bool { return back.Load() == 1 })
	release()
	if c.Alloc(gfp.Kernel) == nil {
		t.Fatal("no memory with the zone lock released")
	}
	fmt.Println("refused, chained, reclaimed")
	os.Exit(0)
}

// holdZone takes the zone lock on another goroutine until release is called.
// With preempt_rt=0 the holder would be pinned all the while and everyone
// else would spin for it, so there the lock is left alone.
func holdZone(a *page.Allocator) (release func()) {
	if !preempt.RT() {
		return func() {}
	}
	held, done, released := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		pages.CoreOf(a).LockZone()
		close(held)
		<-done
		pages.CoreOf(a).UnlockZone()
		close(released)
	}()
	<-held
	return func() { close(done); <-released }
}

func tail(s string) string {
	if len(s) > 2000 {
		return "…" + s[len(s)-2000:]
	}
	return s
}
