package slab

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// walked is a cache for walks: hundreds of slabs in all states.
type walked struct {
	*Cache[[4096]byte]
	out []*[4096]byte
	rng *rand.Rand
}

func newWalked(t *testing.T, slabs int) *walked {
	if poisonOn {
		t.Skip("poison keeps freed objects in quarantine")
	}
	w := &walked{newTest[[4096]byte](t, page.Default()), nil, rand.New(rand.NewPCG(1, 2))}
	w.c.keepEmpty = 1 << 30
	t.Cleanup(func() {
		w.free(len(w.out))
		mustClose(t, w)
	})
	w.alloc(t, slabs*int(w.c.perSlab))
	w.free(len(w.out) / 2)
	// Of the first slabs all objects go, so that many are empty.
	w.c.flushObjects(offsetsOf(w.Cache, w.out[:len(w.out)/2]), &w.c.stats.bulk)
	w.out = w.out[len(w.out)/2:]
	return w
}

// alloc takes n objects out of their slabs, past the sheaves.
func (w *walked) alloc(t *testing.T, n int) {
	for n > 0 {
		offs := make([]uint32, min(n, 64))
		w.c.mu.LockIRQ()
		got := w.c.takeObjectsLocked(offs, nil)
		w.c.mu.UnlockIRQ()
		for _, off := range offs[:got] {
			w.out = append(w.out, (*[4096]byte)(w.c.pointer(off)))
		}
		if n -= got; got == 0 {
			p := w.c.pages.Alloc(w.c.nextOrder(), gfp.Kernel)
			if p == nil {
				t.Fatal("no memory")
			}
			w.c.mu.LockIRQ()
			w.c.addSlabLocked(p, 0)
			w.c.mu.UnlockIRQ()
		}
	}
}

// free returns n random objects to their slabs.
func (w *walked) free(n int) {
	w.rng.Shuffle(len(w.out), func(i, j int) { w.out[i], w.out[j] = w.out[j], w.out[i] })
	left := len(w.out) - n
	w.c.flushObjects(offsetsOf(w.Cache, w.out[left:]), &w.c.stats.bulk)
	w.out = w.out[:left]
}

// walk validates, and calls between before each hold. It returns what was found.
func (w *walked) walk(between func(*walk)) []string {
	v := &walk{cache: &w.c}
	for more := true; more; {
		v.makeRoom()
		between(v)
		w.c.mu.LockIRQ()
		more = v.stepLocked()
		w.c.mu.UnlockIRQ()
	}
	return v.wrong
}

// A hold of mu looks at a stretch of pages, or at some slabs of a list.
func TestValidateLooksAtABoundedPartInAHold(t *testing.T) {
	w := newWalked(t, 6*slabsPerLook)
	on, list := 0, (*uint32)(nil)
	stretches, lists := 0, 0
	wrong := w.walk(func(v *walk) {
		if v.step == walkPages {
			stretches++
		}
		if list == v.list && list != nil {
			lists++
			if n := v.on.count - on; n > slabsPerLook {
				t.Errorf("a hold looked at %d slabs of a list", n)
			}
		}
		on, list = v.on.count, v.list
	})
	if len(wrong) > 0 {
		t.Error(wrong)
	}
	least := w.c.slabs.objects / pagesPerHold // an object is a page
	if stretches < least || least < 2 {
		t.Errorf("%d holds looked at %d pages or more", stretches, least*pagesPerHold)
	}
	if lists < 2 {
		t.Errorf("the lists are too short for this test: %d holds", lists)
	}
}

// Between two holds slabs are filled, emptied, made and dropped, before and
// beyond the frontier, and among those that the walk of a list passed and did not
// pass. The identities hold anyway.
func TestValidateIsExactWhileSlabsChangeBetweenItsHolds(t *testing.T) {
	w := newWalked(t, 6*slabsPerLook)
	for seed := range uint64(20) {
		w.rng = rand.New(rand.NewPCG(seed, 3))
		wrong := w.walk(func(v *walk) {
			switch w.rng.IntN(4) {
			case 0:
				w.alloc(t, w.rng.IntN(500))
			case 1:
				w.free(w.rng.IntN(min(500, len(w.out))))
			case 2: // the slabs that the walk is at go, and the first of the list
				w.c.mu.LockIRQ()
				for _, head := range []uint32{v.at, v.prev, w.c.slabs.empty} {
					m := w.c.core.Meta(head)
					if head != 0 && v.list == &w.c.slabs.empty && m.Owner == w.c.id && m.InUse == 0 {
						w.c.dropSlabLocked(head, m)
					}
				}
				w.c.mu.UnlockIRQ()
			case 3: // and those of the partial list leave it for another
				w.c.mu.LockIRQ()
				for _, head := range []uint32{v.at, v.prev, w.c.slabs.partial} {
					if head != 0 && v.list == &w.c.slabs.partial {
						w.fillLocked(head)
					}
				}
				w.c.mu.UnlockIRQ()
			}
		})
		if len(wrong) > 0 {
			t.Fatalf("seed %d: %v", seed, wrong)
		}
	}
}

// fillLocked takes all objects of a slab.
func (w *walked) fillLocked(head uint32) {
	m := w.c.core.Meta(head)
	w.c.unlinkLocked(head, m)
	for i, starts := range w.c.shapeOfSlab(m).starts {
		bm := &w.c.words(w.c.allocBits, head)[i]
		for b := range 64 {
			if bit := uint64(1) << b; starts&^*bm&bit != 0 {
				*bm |= bit
				w.out = append(w.out, (*[4096]byte)(w.c.pointer(firstUnit(head)+uint32(i*64+b))))
				m.InUse++
				w.c.slabs.inuse++
			}
		}
	}
	w.c.linkLocked(head, m)
}

// A count that is wrong stays wrong, however much slabs change during the walk.
func TestValidateFindsAWrongCountWhileSlabsChange(t *testing.T) {
	w := newWalked(t, 3*slabsPerLook)
	for name, count := range map[string]*int{
		"slabs":         &w.c.slabs.count,
		"objects":       &w.c.slabs.objects,
		"objects out":   &w.c.slabs.inuse,
		"slabs (empty)": &w.c.slabs.empties,
	} {
		*count++
		wrong := w.walk(func(*walk) {
			w.alloc(t, 100)
			w.free(100)
		})
		*count--
		if len(wrong) != 1 {
			t.Errorf("%s: found %d errors: %v", name, len(wrong), wrong)
		}
	}
	if wrong := w.walk(func(*walk) {}); len(wrong) > 0 {
		t.Error(wrong)
	}
}

// The same with goroutines that know nothing of it.
func TestValidateWhileOthersUseTheCache(t *testing.T) {
	type object [1024]byte
	c := newTest[object](t, newPages(t, 0))
	var stop atomic.Bool
	done := testkit.AsyncN(3, func(i int) {
		for n := 0; !stop.Load(); n++ {
			var ps [200]*object
			if got := c.AllocBulk(gfp.Kernel, ps[:]); got != len(ps) {
				t.Error("no memory")
				return
			}
			for _, p := range ps[:100] {
				c.FreeRCU(p)
			}
			c.FreeBulk(ps[100:])
			if n%16 == i {
				c.Shrink()
			}
		}
	})
	for i := range 100 {
		if n := c.Validate(); n != 0 {
			t.Errorf("call %d: %d errors", i, n)
			break
		}
	}
	stop.Store(true)
	<-done
	mustClose(t, c, c.c.pages)
}
