package slab

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// newYoung makes a cache that begins young, in race builds as well, and of whose
// objects none has a guard page until the test ends.
func newYoung[T any](t *testing.T, name string, a *page.Allocator) *Cache[T] {
	t.Helper()
	notSampled(t)
	c, err := NewCache[T](name, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	c.c.youngMost, c.c.thriftyMost = youngBytes, youngBytes
	return c
}

// A service may have a cache, or a map, for each tenant, with an object or two.
func TestACacheWithAnObjectCostsAPageOrTwo(t *testing.T) {
	if poisonOn {
		t.Skip("poison builds have no small slabs")
	}
	const n, most = 1000, 8 << 10
	a := newPages(t, 0)
	defer mustClose(t, a)
	had := a.Stats().Resident
	each := func() int64 { return (a.Stats().Resident - had) / n }
	caches := make([]*Cache[cell], n)
	objects := make([]*cell, n)
	for i := range caches {
		c := newYoung[cell](t, fmt.Sprint("small", i), a)
		caches[i], objects[i] = c, c.Alloc(gfp.Kernel)
	}
	eventually(t, fmt.Sprintf("a cache with an object holds %d bytes at most", most), func() bool { return each() <= most })
	for _, c := range caches {
		c.FreeRCU(c.Alloc(gfp.Kernel))
	}
	eventually(t, fmt.Sprintf("a cache that has freed one holds %d bytes at most", most), func() bool {
		for _, c := range caches {
			if c.c.anyRCU() || c.c.draining.Load() || c.c.reclaiming.Load() || c.c.supplying.Load() {
				return false
			}
		}
		return each() <= most
	})
	for i, c := range caches {
		c.Free(objects[i])
		mustClose(t, c)
	}
}

// A cache that grows has slabs of both orders, and what is known of an object is
// found in either.
func TestACacheGrowsAndShrinks(t *testing.T) {
	for _, size := range []string{"16", "4096", "20000"} {
		t.Run(size, func(t *testing.T) {
			switch size {
			case "16":
				growAndShrink[[16]byte](t, 8000)
			case "4096":
				growAndShrink[[4096]byte](t, 100)
			case "20000":
				growAndShrink[[20000]byte](t, 40)
			}
		})
	}
}

func growAndShrink[T any](t *testing.T, n int) {
	a := newPages(t, 0)
	c := newYoung[T](t, "grows", a)
	var all []*T
	valid := func(when string) {
		t.Helper()
		if errors := c.Validate(); errors != 0 {
			t.Fatalf("%s: %d errors", when, errors)
		}
		if s := c.Stats(); s.Out < len(all) {
			t.Fatalf("%s: %d objects are allocated, %d are out of their slabs", when, len(all), s.Out)
		}
	}
	for range 2 {
		seen := map[*T]bool{}
		for len(all) < n {
			p := c.Alloc(gfp.Kernel)
			if seen[p] {
				t.Fatalf("%p is allocated twice", p)
			}
			seen[p] = true
			all = append(all, p)
			if k := len(all); k < 20 || k == n/2 {
				valid(fmt.Sprint("allocated ", k))
			}
		}
		valid("grown")
		if !poisonOn && (c.c.isYoung() || c.c.young.order >= c.c.order) {
			t.Errorf("%d bytes of slabs: the cache is young; orders %d and %d", c.c.slabBytes.Load(), c.c.young.order, c.c.order)
		}
		rand.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
		byTurns(all, c.FreeRCU, c.Free)
		all = all[:0]
		c.Barrier()
		valid("all freed")
		if !poisonOn {
			eventually(t, "Shrink gives back all memory", func() bool { // a top-up may be under way
				c.Shrink()
				s := c.Stats()
				return s.Slabs == 0 && s.Bytes == 0
			})
		}
		valid("shrunk")
	}
	mustClose(t, c, a)
}

// Slabs of young caches, which lie in the same larger blocks, and usual ones: the
// fallback chain takes objects of all of them, and each is freed in its own.
func TestTheChainFindsTheSlabsOfYoungCaches(t *testing.T) {
	if poisonOn {
		t.Skip("poison keeps an account of every object, which this test bypasses")
	}
	a := newPages(t, 0)
	const n = 600 // two usual slabs' worth
	var caches [8]*Cache[cell]
	var objects [8][]*cell
	for i := range caches {
		caches[i] = newYoung[cell](t, fmt.Sprint("young", i), a)
	}
	for k := range n {
		for i, c := range caches {
			if i < 7 && k >= 100 {
				continue // one grows
			}
			objects[i] = append(objects[i], c.Alloc(gfp.Kernel))
		}
	}
	for i, c := range caches {
		for _, p := range objects[i] {
			c.c.raceFreeRCU(unsafe.Pointer(p))
			off := offsetOf(c, p)
			c.c.afterChaining(off, c.c.chainObject(off))
		}
	}
	for i, c := range caches {
		c.Barrier()
		if s := c.Stats(); s.FallbackFreed != uint64(len(objects[i])) {
			t.Errorf("cache %d: %d of %d objects came back from the chain", i, s.FallbackFreed, len(objects[i]))
		}
		if errors := c.Validate(); errors != 0 {
			t.Errorf("cache %d: Validate: %d errors", i, errors)
		}
		mustClose(t, c)
	}
	mustClose(t, a)
}

// A place in a shared page has one owner at a time, and pages go back with the
// last of theirs.
func TestSmallSheavesShareTheirPages(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	a := newPages(t, 0)
	var wg sync.WaitGroup
	for i := range 4 {
		c := newYoung[cell](t, fmt.Sprint("shares", i), a)
		c.c.youngMost, c.c.thriftyMost = 1<<30, 1<<30
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(i)))
			var mine []num
			for range 20000 {
				if len(mine) < 40 && (len(mine) == 0 || r.IntN(2) == 0) {
					f := gfp.NoWait | gfp.NoWarn
					if r.IntN(2) == 0 {
						f |= gfp.NoLocks
					}
					n := c.c.makeSheaf(f)
					if n == 0 {
						continue // NoLocks, and this P's list is empty
					}
					if isSmall(n) {
						c.c.claimPlace(t, n, 0, uint32(i)+1)
					}
					mine = append(mine, n)
					continue
				}
				k := r.IntN(len(mine))
				if isSmall(mine[k]) {
					c.c.claimPlace(t, mine[k], uint32(i)+1, 0)
				}
				c.c.dropSheaf(mine[k])
				mine[k] = mine[len(mine)-1]
				mine = mine[:len(mine)-1]
			}
			for _, n := range mine {
				if isSmall(n) {
					c.c.claimPlace(t, n, uint32(i)+1, 0)
				}
				c.c.dropSheaf(n)
			}
			mustClose(t, c)
		})
	}
	wg.Wait()
	if first := smallPagesOf(pages.CoreOf(a)).first; first != 0 {
		t.Errorf("page %#x still has small sheaves", first)
	}
	mustClose(t, a)
}

// claimPlace writes an owner into a sheaf, where it expects another.
//
//go:norace
func (c *cache) claimPlace(t *testing.T, n num, from, to uint32) {
	s := c.sheaf(n)
	if s.cap != smallMax || from != 0 && s.obj[smallMax-1] != from || from == 0 && s.obj[smallMax-1] != 0 && s.obj[smallMax-1] <= 4 {
		t.Errorf("sheaf %#x holds %d, want %d; cap %d", n, s.obj[smallMax-1], from, s.cap)
	}
	s.obj[smallMax-1] = to
}
