package slab

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// A program with no more Ps than a group has pays for no other.
func TestFewPsHaveOneGroup(t *testing.T) {
	testkit.Procs(t, groupPs)
	c := newTest[cell](t, newPages(t, 0))
	churnOnAllPs(t, c, func(int) bool { return true })
	c.c.requestSupply(nil)
	eventually(t, "the supply goroutine ends", func() bool { return !c.c.supplying.Load() })
	if c.c.further.Load() != nil {
		t.Errorf("%d groups on %d Ps", c.c.groups(), groupPs)
	}
	mustClose(t, c, c.c.pages)
}

// churnOnAllPs allocates and frees, in all ways, on a goroutine for each P, until enough
// says that what a goroutine did last was the last.
func churnOnAllPs(t *testing.T, c *Cache[cell], enough func(round int) bool) {
	t.Helper()
	const each = 300
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			s, err := c.Sheaf(10, gfp.Kernel)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			var kept [16]*cell
			for round := 0; ; round++ {
				for i := range each {
					at := &kept[i%len(kept)]
					if p := *at; p != nil && i%3 == 0 {
						c.Free(p)
					} else if p != nil {
						c.FreeRCU(p)
					}
					*at = c.Alloc(gfp.Kernel)
					p := s.Alloc(gfp.Kernel)
					if *at == nil || p == nil {
						t.Error("no memory")
						return
					}
					s.FreeRCU(p)
				}
				if enough(round) {
					break
				}
				if c.c.pendingObjects.Load() > 20_000 { // race builds have no helpers
					c.Barrier()
				}
			}
			for _, p := range kept {
				c.Free(p)
			}
		})
	}
	wg.Wait()
}

// Ps come and go, and with them groups, while all is in use. Nothing is lost.
func TestGroupsWhileTheNumberOfPsChanges(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0), WithSheaf(20))
	testkit.Procs(t, 2)
	churnOnAllPs(t, c, func(int) bool { return true })
	if c.c.groups() != 1 {
		t.Errorf("%d groups on two Ps", c.c.groups())
	}
	most, then := 64, []int{3, 40, groupPs + 1, 1, 64}
	if testing.Short() {
		most, then = 2*groupPs+1, []int{3, 2 * groupPs}
	}
	runtime.GOMAXPROCS(most)
	var stop atomic.Bool
	defer stop.Store(true)
	ended := make(chan struct{})
	go func() {
		churnOnAllPs(t, c, func(int) bool { return stop.Load() })
		close(ended)
	}()
	testkit.Eventually(t, 20*time.Second, "groups of all Ps", func() bool { return int(c.c.groups()) == (most+groupPs-1)/groupPs })
	for _, n := range then {
		runtime.GOMAXPROCS(n)
		c.Barrier()
		c.Shrink()
	}
	stop.Store(true)
	<-ended
	c.Barrier()
	s := c.Stats()
	if !poisonOn && (s.RCUArrays != s.Reused+s.Bulk || s.Fallback != s.FallbackFreed || s.Pending != 0) {
		t.Errorf("%d objects in arrays, %d reused and %d freed in bulk; %d fell back, %d of them freed; %d sheaves pending",
			s.RCUArrays, s.Reused, s.Bulk, s.Fallback, s.FallbackFreed, s.Pending)
	}
	if s.Live != 0 {
		t.Errorf("%d objects are live, and none is in use", s.Live)
	}
	// The supply goroutine may be filling a last wish.
	testkit.Eventually(t, 10*time.Second, "no sheaf in any group after Shrink", func() bool {
		c.Shrink()
		for _, of := range []func(*group) *stack{fullOf, emptyOf, emptySmallOf, pendingOf, ripeOf} {
			if c.c.anyOf(of) {
				return false
			}
		}
		return true
	})
	mustClose(t, c, c.c.pages)
}
