package slab

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/pages"
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

// Where the process has no address space, what is made says so, and what
// allocates gets nothing.
func TestNoCacheWithoutAnAllocator(t *testing.T) {
	a := newPages(t, 0)
	defer mustClose(t, a)
	pages.CoreOf(a).Unmade = errors.New("no address space")
	if _, err := NewCache[[48]byte]("nowhere", WithAllocator(a)); err == nil || !strings.Contains(err.Error(), "no address space") {
		t.Errorf("NewCache: %v", err)
	}
	h := NewHeap(a)
	if p := h.Kmalloc(64, gfp.Kernel|gfp.NoWarn); p != nil {
		t.Error("Kmalloc has memory from nowhere")
	}
	if p := h.Kmalloc(64, gfp.NoWait|gfp.NoLocks|gfp.NoWarn); p != nil {
		t.Error("Kmalloc with NoLocks has memory from nowhere")
	}
	eventually(t, "the end of the attempt to make the class", func() bool { return h.asked[0].Load() == 0 })
	mustClose(t, h)
}
