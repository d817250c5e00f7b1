package slab

import (
	"fmt"
	"runtime"
	"testing"

	"quiesce/internal/race"
)

// A service may have a cache for each tenant.
func TestACacheThatIsNotUsedCostsLittle(t *testing.T) {
	if poisonOn || race.Enabled {
		t.Skip("checking builds keep more for each cache")
	}
	const n = 2000
	a := newPages(t, 0)
	defer mustClose(t, a)
	caches := make([]*Cache[[48]byte], n)
	had := a.Stats().Resident
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range caches {
		c, err := NewCache[[48]byte](fmt.Sprint("idle", i), WithAllocator(a))
		if err != nil {
			t.Fatal(err)
		}
		caches[i] = c
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if each := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; each > 3<<10 {
		t.Errorf("a cache takes %d bytes of the Go heap", each)
	}
	if got := a.Stats().Resident; got != had {
		t.Errorf("%d caches without objects hold %d bytes of pages", n, got-had)
	}
	for _, c := range caches {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
