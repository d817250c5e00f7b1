package slab

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// store keeps blocks of many sizes and gives up the oldest when it is asked.
type store struct {
	h     *Heap
	kept  []block // oldest first; the test's goroutine allocates, and so reclaims
	bytes int64
}

type block struct {
	p    unsafe.Pointer
	size int
}

func (s *store) Reclaim(need int64) {
	for need > 0 && len(s.kept) > 0 {
		b := s.kept[0]
		s.kept = s.kept[1:]
		s.h.KfreeRCU(b.p)
		s.bytes -= int64(b.size)
		need -= int64(b.size)
	}
}

// A store that gives up what it is asked for keeps most of a limit, small as
// the limit may be.
func TestASmallLimitDoesNotCollapse(t *testing.T) {
	if poisonOn || raceEnabled {
		t.Skip("objects take several times their size here")
	}
	testkit.Procs(t, 2)
	for _, limit := range []int64{8 << 20, 16 << 20} {
		a := newPages(t, limit)
		s := &store{h: NewHeap(a)}
		a.AddReclaimer(s)
		r := rand.New(rand.NewPCG(1, 2))
		least := limit
		for i := range 60_000 {
			size := 100 + r.IntN(460)
			p := s.h.Kmalloc(size, gfp.Kernel)
			if p == nil {
				t.Fatalf("limit %d: refused with %d bytes kept", limit, s.bytes)
			}
			s.kept = append(s.kept, block{p, size})
			if s.bytes += int64(size); i > 50_000 {
				least = min(least, s.bytes)
			}
		}
		t.Logf("limit %d MiB: at least %d KiB kept, %+v", limit>>20, least>>10, a.Stats())
		if least < limit/2 {
			t.Errorf("of a limit of %d bytes %d were kept, want at least half", limit, least)
		}
		a.RemoveReclaimer(s)
		s.Reclaim(1 << 40)
		mustClose(t, s.h, a)
	}
}

// A cache that ran low says what it lacks, and has memory reclaimed though nobody
// waits for it.
func TestACacheThatRunsLowHasMemoryReclaimed(t *testing.T) {
	if poisonOn {
		t.Skip("freed objects go through the quarantine")
	}
	a := newPages(t, 8<<20)
	c := newTest[[1024]byte](t, a)
	var ps []*[1024]byte
	for p := c.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = c.Alloc(gfp.NoWait | gfp.NoWarn) {
		ps = append(ps, p)
	}
	c.c.ranLowAt.Store(1 << 62)
	if s := c.c.stocked(); s.Free != 0 || s.Lack != int64(c.c.sheafCap)*1024 {
		t.Errorf("a cache that has nothing: %+v", s)
	}
	c.c.ranLowAt.Store(0)
	if s := c.c.stocked(); s.Lack != 0 {
		t.Errorf("a cache that did not run low: %+v", s)
	}
	eventually(t, "a round ahead of need", func() bool {
		if p := c.Alloc(gfp.NoWait | gfp.NoWarn); p != nil {
			ps = append(ps, p)
		}
		return a.Stats().Ahead > 0
	})
	for _, p := range ps {
		c.FreeRCU(p)
	}
	c.Barrier()
	if s := c.c.stocked(); s.Pending != 0 {
		t.Errorf("%d bytes pending after Barrier", s.Pending)
	}
	if n := a.Stats().Waits; n != 0 {
		t.Errorf("%d allocations waited", n)
	}
	mustClose(t, c, a)
}

// Many that wait for the same memory are served one after the other, though that
// takes longer than ReclaimTimeout, and none is refused.
func TestNobodyIsRefusedWhileOthersAreServed(t *testing.T) {
	if poisonOn {
		t.Skip("freed objects go through the quarantine")
	}
	// Longer than a busy machine keeps this goroutine from running.
	const timeout, waiters = time.Second, 30
	a, err := page.New(page.Config{Limit: 2 << 20, ReclaimTimeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	c := newTest[[32 << 10]byte](t, a)
	var ps []*[32 << 10]byte
	for p := c.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = c.Alloc(gfp.NoWait | gfp.NoWarn) {
		ps = append(ps, p)
	}
	outcomes := make(chan bool, waiters) // served?
	start := time.Now()
	done := testkit.AsyncN(waiters, func(int) {
		outcomes <- c.Alloc(gfp.Kernel|gfp.NoWarn) != nil
	})
	// One object at a time, each when the one before it was handed out.
	for i := range waiters {
		time.Sleep(timeout / 20)
		c.Free(ps[i])
		eventually(t, "one more is served, or refused", func() bool { return len(outcomes) > i })
	}
	<-done
	took, refused := time.Since(start), 0
	for range waiters {
		if !<-outcomes {
			refused++
		}
	}
	if refused > 0 || took < timeout {
		t.Errorf("%d of %d refused in %v, ReclaimTimeout is %v", refused, waiters, took, timeout)
	}
	// The objects that the waiters got are leaked on purpose: nobody has them.
}

// What comes back by itself is waited for: another cache's Ps keep their sheaves.
func TestWaitersLeaveOthersSheavesAloneWhileGracePeriodsServeThem(t *testing.T) {
	if poisonOn {
		t.Skip("freed objects go through the quarantine")
	}
	a := newPages(t, 8<<20)
	hot := newTest[cell](t, a)
	hot.Free(hot.Alloc(gfp.Kernel)) // a sheaf of objects on this P
	c := newTest[[1024]byte](t, a)
	var ps []*[1024]byte
	for p := c.Alloc(gfp.NoWait | gfp.NoWarn); p != nil; p = c.Alloc(gfp.NoWait | gfp.NoWarn) {
		ps = append(ps, p)
	}
	// Waiters have 10 ms of patience; on a busy machine it takes some tries to
	// find three whose grace period ends within that.
	for short, tries := 0, 0; short < 3; tries++ {
		before := hot.Stats().Flushed
		begin := time.Now()
		c.FreeRCU(ps[len(ps)-1])
		ps = ps[:len(ps)-1]
		p := c.Alloc(gfp.Kernel)
		if p == nil {
			t.Fatal("refused")
		}
		ps = append(ps, p)
		if time.Since(begin) > 10*time.Millisecond {
			if tries > 500 {
				t.Fatal("no grace period ends within 10 ms")
			}
			hot.Free(hot.Alloc(gfp.Kernel)) // a sheaf again
			continue
		}
		short++
		if after := hot.Stats().Flushed; after != before {
			t.Errorf("%d objects of another cache were flushed", after-before)
		}
	}
	c.FreeBulk(ps)
	mustClose(t, c, hot, a)
}

// NoWait and Atomic find what Ps that are gone had cached.
func TestARequestThatCanNotWaitFindsWhatGonePsCached(t *testing.T) {
	if poisonOn {
		t.Skip("freed objects go through the quarantine")
	}
	testkit.Procs(t, 1)
	for _, f := range []gfp.Flags{gfp.NoWait, gfp.Atomic} {
		a := newPages(t, 2<<20)
		c := newTest[[1024]byte](t, a)
		var ps []*[1024]byte
		for p := c.Alloc(gfp.Atomic | gfp.NoWarn); p != nil; p = c.Alloc(gfp.Atomic | gfp.NoWarn) {
			ps = append(ps, p)
		}
		c.Free(ps[0])
		const gone = 20
		from, to := c.c.slots.At(0), c.c.slots.At(gone)
		c.c.slots.Register(gone)
		to.main, from.main = from.main, 0
		if ps[0] = c.Alloc(f | gfp.NoWarn); ps[0] == nil {
			t.Errorf("%v did not find the object that a P had cached", f)
		}
		c.FreeBulk(ps)
		mustClose(t, c, a)
	}
}
