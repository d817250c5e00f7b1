//go:build !poison && !asan

// Poison builds keep an account of every object, which these tests bypass.

package slab

import (
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
)

// Takers and owners at the same time: a sheaf never has two owners.

// taking calls take over and over until the returned func is called, which
// returns what it panicked with.
func taking(take func()) (stop func() any) {
	var end atomic.Bool
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		for !end.Load() {
			take()
		}
	}()
	return func() any {
		end.Store(true)
		return <-panicked
	}
}

// Every object that FreeRCU counts into a sheaf is counted out of it.
func TestATakerAndFreeRCUNeverShareASheaf(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	for _, late := range []bool{false, true} { // stores that become visible late
		c := newTest[cell](t, newPages(t, 0))
		b := testkit.NewBacklog()
		stop := taking(func() { c.c.drainRCU() })
		ps := make([]*cell, 1000)
		given := uint64(0)
		for range testkit.During(sharing) {
			if t.Failed() {
				break
			}
			n := c.AllocBulk(gfp.Kernel, ps)
			for i, p := range ps[:n] {
				if late && i%4 == 0 {
					b.Store()
				}
				c.FreeRCU(p)
			}
			given += uint64(n)
			c.Barrier()
			if s := c.Stats(); s.RCUArrays != s.Reused+s.Bulk || s.RCUArrays+s.Fallback != given {
				t.Errorf("of %d objects %d went into sheaves, %d and %d came out of them", given, s.RCUArrays, s.Reused, s.Bulk)
			}
		}
		if p := stop(); p != nil {
			t.Error(p)
		}
		if t.Failed() {
			return // the cache is corrupt
		}
		closeAll(t, c)
	}
}

// An object that is allocated is not allocated again, though its sheaf is
// flushed to the slabs all the time.
func TestATakerAndAllocNeverShareASheaf(t *testing.T) {
	notSampled(t)
	testkit.AtLeastProcs(t, 2)
	for _, late := range []bool{false, true} {
		a, err := page.New(page.Config{Reserve: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		c := newTest[cell](t, a)
		b := testkit.NewBacklog()
		live := make([]bool, 64<<20/unit) // by offset
		stop := taking(c.c.shrink)
		var mine [200]*cell
		for range testkit.During(sharing) {
			if t.Failed() {
				break
			}
			for i := range mine {
				if late && i%8 == 0 {
					b.Store()
				}
				p := c.Alloc(gfp.Kernel)
				off := offsetOf(c, p)
				if live[off] {
					t.Errorf("object %p was allocated twice", p)
				}
				live[off] = true
				mine[i] = p
			}
			for _, p := range mine {
				live[offsetOf(c, p)] = false
			}
			c.FreeBulk(mine[:])
		}
		if p := stop(); p != nil {
			t.Error(p)
		}
		if t.Failed() {
			return // the cache is corrupt
		}
		closeAll(t, c)
	}
}
