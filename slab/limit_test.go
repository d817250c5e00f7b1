package slab

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// A gfp.Kernel allocation at the limit waits for the grace periods in flight;
// others get nil; a stuck reader costs no more than ReclaimTimeout.
func TestAtTheLimitKernelWaitsAndOthersDoNot(t *testing.T) {
	a, err := page.New(page.Config{Limit: 2 << 20, ReclaimTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c := newTest[cell](t, a)
	fill := func() (ps []*cell) {
		for {
			p := c.Alloc(gfp.Atomic | gfp.NoWarn)
			if p == nil {
				return ps
			}
			ps = append(ps, p)
		}
	}
	ps := fill()
	waiting := map[*cell]bool{}
	g := farReader()
	for _, p := range ps {
		waiting[p] = true
		c.FreeRCU(p)
	}
	// Some memory may still come together: arrays freed, pages from
	// lists. None of it is an object that waits.
	var extra []*cell
	drain := func(f gfp.Flags) (last time.Duration) {
		for {
			start := time.Now()
			p := c.Alloc(f)
			if p == nil {
				return time.Since(start)
			}
			if waiting[p] {
				t.Fatalf("%v got an object that a reader may still use", f)
			}
			extra = append(extra, p)
		}
	}
	if d := drain(gfp.NoWait | gfp.NoWarn); d > 200*time.Millisecond {
		t.Errorf("NoWait took %v to return nil", d)
	}
	if d := drain(gfp.Kernel | gfp.NoWarn); d < 250*time.Millisecond || d > 3*time.Second {
		t.Errorf("Kernel gave up after %v, ReclaimTimeout is 300 ms", d)
	}
	c.FreeBulk(extra)
	if len(extra) > 0 { // they would serve the next allocation
		extra = extra[:0]
		drain(gfp.NoWait | gfp.NoWarn)
	}
	time.AfterFunc(50*time.Millisecond, g.Unlock)
	p := c.Alloc(gfp.Kernel)
	if p == nil {
		t.Error("Kernel did not wait for the grace period")
	}
	c.Free(p)
	c.FreeBulk(extra)
	mustClose(t, c, a)
}

// A writer that outruns its readers is slowed, not killed, and memory stays
// within the limit.
func TestAWriterThatOutrunsItsReadersIsSlowed(t *testing.T) {
	const limit = 8 << 20
	a := newPages(t, limit)
	c := newTest[[32]uint64](t, a)
	stop := testkit.Repeat(func() { // a reader that holds every grace period up for 10 ms
		g := rcu.ReadLock()
		time.Sleep(10 * time.Millisecond)
		g.Unlock()
	})
	end := time.Now().Add(slowedFor)
	var done, refused int
	for time.Now().Before(end) {
		p := c.Alloc(gfp.Kernel)
		if p == nil {
			refused++
			continue
		}
		p[0] = uint64(done)
		c.FreeRCU(p)
		done++
	}
	stop()
	s := a.Stats()
	t.Logf("%d objects of 256 B (%d MB) through a limit of %d MB; peak %d KB; %d refused", done, done>>12, limit>>20, s.Peak>>10, refused)
	if s.Peak > limit || done < 1000 || refused > 0 {
		t.Errorf("peak %d of %d, %d done, %d refused", s.Peak, limit, done, refused)
	}
	mustClose(t, c, a)
}

// A guard that was lost to a recovered panic holds up all deferred frees. The
// allocation that fails for it says so, and whose limit it was.
func TestAFailedAllocationNamesTheLimitAndTheStall(t *testing.T) {
	if !isChild() {
		out, err := testkit.OfTest(t, "1").Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, part := range []string{"slab: allocation failed", "cache=lines", "allocator=sessions", "limit=2097152", "pending_sheaves=",
			"a preemptible reader has held up the grace period for", "rcu: stall: a reader holds up", "deferred_bytes="} {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in\n%s", part, out)
			}
		}
		return
	}
	rcu.StallTimeout = 20 * time.Millisecond
	var sink testkit.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&sink, nil)))
	a, err := page.New(page.Config{Limit: 2 << 20, Name: "sessions", ReclaimTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache[[512]byte]("lines", WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Elsewhere(func() {
		defer func() { recover() }()
		rcu.ReadLock() // and nothing unlocks it
		panic("the handler's own")
	})
	logged := func(part string) {
		testkit.Eventually(t, 10*time.Second, part, func() bool { return strings.Contains(sink.String(), part) })
	}
	// First the stall, whose grace period a busy machine may be late to begin.
	c.FreeRCU(c.Alloc(gfp.Kernel))
	logged("rcu: stall")
	for p := c.Alloc(gfp.Kernel); p != nil; p = c.Alloc(gfp.Kernel) {
		c.FreeRCU(p)
	}
	logged("slab: allocation failed")
	print(sink.String())
}
