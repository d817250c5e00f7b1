//go:build poison

package slab

import (
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// Goroutines that each allocate, use and free their own objects are right. With
// -race nothing is reported either: the detector does not see how the checks
// fill and compare memory that has no user.
func TestTheRaceDetectorDoesNotSeeTheChecks(t *testing.T) {
	a := newPages(t, 0)
	c, h := newTest[cell](t, a), NewHeap(a)
	rounds := 3000
	if testing.Short() {
		rounds = 1000
	}
	<-testkit.AsyncN(4, func(int) {
		var mine []*cell
		var blocks []unsafe.Pointer
		for i := range rounds {
			p := c.Alloc(gfp.Kernel)
			p.body[0] = uint64(i)
			mine = append(mine, p)
			q := h.Kmalloc(1+i%100, gfp.Kernel|gfp.Zero)
			if *(*byte)(q) != 0 {
				t.Error("not zero")
			}
			*(*byte)(q) = byte(i)
			blocks = append(blocks, h.Krealloc(q, 1+i%50, gfp.Kernel))
		}
		for i, p := range mine {
			if p.body[0] != uint64(i) {
				t.Error("an object changed")
			}
			if i%2 == 0 {
				c.Free(p)
				h.KfreeRCU(blocks[i])
			} else {
				c.FreeRCU(p)
				h.Kfree(blocks[i])
			}
		}
	})
	c.Shrink()
	mustClose(t, c, h, a)
}
