package page

import (
	"testing"

	"quiesce/gfp"
)

// Blocks are aligned as addresses, whatever the size of the range: where the
// system puts a range depends on its size.
func TestBlocksAreAlignedToTheirSize(t *testing.T) {
	for _, reserve := range []int64{3 << 19, 7 << 19, 1<<30 + 1<<19, 64 << 30} {
		a := newTest(t, Config{Reserve: reserve})
		for order := range MaxOrder + 1 {
			p := a.Alloc(order, gfp.NoWait|gfp.NoWarn)
			if p == nil {
				continue // the range is too small
			}
			if uintptr(p)%(Size<<order) != 0 {
				t.Errorf("Reserve %d KiB, order %d: block at %#x", reserve>>10, order, uintptr(p))
			}
			a.Free(p, order)
		}
	}
}
