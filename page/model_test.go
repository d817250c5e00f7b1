package page

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// The model is a map from the blocks handed out to their content.
func TestModel(t *testing.T) {
	type block struct {
		p     unsafe.Pointer
		order int
		b     byte
	}
	seeds := uint64(12)
	switch {
	case testing.Short():
		seeds = 6 // every mix of the two
	case testkit.Long():
		seeds = 40
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 1))
		c := Config{}
		if seed%2 == 0 {
			c.Limit = 1<<20 + int64(r.IntN(8<<20))
		}
		a := newGranule(t, c, int(seed%3))
		owner := make(map[uint32]int) // page → index in blocks
		var blocks []block
		for step := range 3000 {
			switch n := r.IntN(100); {
			case n < 55:
				o := min(r.IntN(MaxOrder+1), r.IntN(MaxOrder+1), r.IntN(MaxOrder+1))
				f := []gfp.Flags{quiet, gfp.Atomic | gfp.NoWarn, quiet | gfp.NoLocks}[r.IntN(3)]
				if r.IntN(4) == 0 {
					f |= gfp.Zero
				}
				var p unsafe.Pointer
				if r.IntN(4) == 0 {
					p = allocPinned(a, o, f)
				} else {
					p = a.Alloc(o, f)
				}
				if p == nil {
					continue
				}
				if f&gfp.Zero != 0 && !filled(p, o, 0) {
					t.Fatalf("seed %d step %d: not zero", seed, step)
				}
				b := byte(r.Uint32())
				fill(p, o, b)
				for i := range uint32(1) << o {
					if _, ok := owner[a.core.PageOf(p)+i]; ok {
						t.Fatalf("seed %d step %d: page %d has two owners", seed, step, a.core.PageOf(p)+i)
					}
					owner[a.core.PageOf(p)+i] = 0
				}
				blocks = append(blocks, block{p, o, b})
			case n < 99 && len(blocks) > 0:
				i := r.IntN(len(blocks))
				b := blocks[i]
				blocks[i] = blocks[len(blocks)-1]
				blocks = blocks[:len(blocks)-1]
				if !filled(b.p, b.order, b.b) {
					t.Fatalf("seed %d step %d: content changed", seed, step)
				}
				for i := range uint32(1) << b.order {
					delete(owner, a.core.PageOf(b.p)+i)
				}
				a.Free(b.p, b.order)
			case n == 99 && r.IntN(10) == 0:
				a.Shrink()
				checkZone(t, a)
			}
			if s := statsAtRest(a); s.InUse != int64(len(owner))*Size ||
				s.Resident != s.Metadata+Size+s.InUse+s.OnLists+s.Deferred+s.FreePopulated ||
				s.Limit > 0 && s.Peak > s.Limit || s.Resident > s.Peak {
				t.Fatalf("seed %d step %d: %d pages in use, %+v", seed, step, len(owner), s)
			}
		}
		for _, b := range blocks {
			a.Free(b.p, b.order)
		}
		if t.Failed() {
			return
		}
	}
}
