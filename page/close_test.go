package page_test

import (
	"errors"
	"slices"
	"testing"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/slab"
)

func TestCloseNamesTheCachesThatAreOpen(t *testing.T) {
	// A sampled object has a page of the sample's, not one of a slab, which the cache
	// keeps after the free.
	if every := slab.ReadGuardStats().Every; every != 0 {
		sample := func(every int) {
			if err := slab.SampleGuards(slab.GuardConfig{Every: every}); err != nil {
				t.Error(err)
			}
		}
		sample(0)
		defer sample(every)
	}
	a, err := page.New(page.Config{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := slab.NewCache[[4]uint64]("sessions", slab.WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	c.Free(c.Alloc(gfp.Kernel))
	var leak *page.LeakError
	if err := a.Close(); !errors.As(err, &leak) || !slices.Contains(leak.Users, "cache sessions") {
		t.Errorf("Close with a cache that is open: %v", err)
	}
	if err := errors.Join(c.Close(), a.Close()); err != nil {
		t.Error(err)
	}
}
