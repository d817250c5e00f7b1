package slab

import (
	"testing"

	"quiesce/gfp"
	"quiesce/internal/live"
)

// While figures of caches are read one after another, caches are made, and they and the
// cache that is read allocate and free, refill and drain: on this goroutine, which would
// wait forever for a lock that the reading holds.
func TestReadingFiguresStopsNobody(t *testing.T) {
	pages := newPages(t, 0)
	caches := []*Cache[cell]{newTest[cell](t, pages), newTest[cell](t, pages)}
	read := 0
	live.ReadAll(&known, func(c *cache) (live.Figures, bool) {
		for i := range 2 {
			if &caches[i].c != c {
				continue
			}
			read++
			c.readStats()
			made := newTest[cell](t, pages)
			caches = append(caches, made)
			for _, each := range []*Cache[cell]{caches[0], caches[1], made} {
				ps := make([]*cell, 2000) // more than a P has at hand
				if got := each.AllocBulk(gfp.Kernel, ps); got != len(ps) {
					t.Fatalf("%d objects", got)
				}
				each.FreeRCU(ps[0])
				each.FreeBulk(ps[1:])
				each.Barrier()
				each.Shrink()
				s, err := each.Sheaf(1, gfp.Kernel)
				if err != nil {
					t.Fatal(err)
				}
				s.Close()
			}
		}
		return live.Figures{}, false
	})
	if read != 2 {
		t.Errorf("figures of %d caches were read, want 2", read)
	}
	for _, c := range caches[1:] {
		mustClose(t, c)
	}
	mustClose(t, caches[0], caches[0].c.pages)
}
