package slab

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/heapprof"
	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// How a Sheaf is opened, listed and closed.

// opened protects the lists of open Sheaves of all caches. No lock is taken under
// it.
var opened lock.Spin

func init() { opened.Init("slab.opened") }

// openSheaf makes what a Sheaf has of n objects.
func (c *cache) openSheaf(n int, f gfp.Flags, made uintptr) (*owned, error) {
	c.mustBeOpen()
	o := &owned{base: c.base, units: c.units, c: c, made: made}
	o.shut()
	if n < 0 || int64(n) > int64(c.units) || !o.refill(n, f) {
		o.giveBack()
		return nil, fmt.Errorf("slab: cache %s: Sheaf(%d): %w", c.name, n, ErrNoMemory)
	}
	if o.vacant == 0 && f.CanLock() { // for the first FreeRCU; it does without if need be
		o.vacant = c.makeSheaf(f&gfp.Atomic | gfp.NoWarn)
	}
	c.enlist(o)
	return o, nil
}

//go:norace
func (c *cache) enlist(o *owned) {
	race.Disable()
	opened.Lock()
	c.insertLocked(o, nil)
	opened.Unlock()
	race.Enable()
}

//go:norace
func (c *cache) delist(o *owned) {
	race.Disable()
	opened.Lock()
	c.unlinkOpenLocked(o)
	opened.Unlock()
	race.Enable()
}

// insertLocked puts o behind another one, or if that is nil in front of all.
//
//go:norace
func (c *cache) insertLocked(o, before *owned) {
	at := &c.open
	if before != nil {
		at = &before.after
	}
	o.before, o.after, *at = before, *at, o
	if o.after != nil {
		o.after.before = o
	}
}

//go:norace
func (c *cache) unlinkOpenLocked(o *owned) {
	if o.before != nil {
		o.before.after = o.after
	} else if c.open == o {
		c.open = o.after
	}
	if o.after != nil {
		o.after.before = o.before
	}
	o.before, o.after = nil, nil
}

// close is Sheaf.Close.
//
//go:norace
func (o *owned) close() {
	if o.closed {
		return
	}
	mightSleep("slab: Sheaf.Close")
	o.giveBack()
}

// forgotten is the cleanup of a Sheaf that was not closed.
func (o *owned) forgotten() {
	o.close()
	sys.Go(func() { // cleanups share a few goroutines, and the log is the user's
		if slog.Default().Enabled(context.Background(), slog.LevelDebug) {
			slog.Debug("slab: a Sheaf was not closed, and is not referenced any more: it gave back what it held",
				"cache", o.c.label, "made", site(o.made))
		}
	})
}

// giveBack returns all that the Sheaf holds to its cache. If that is closed, it
// reports it as open, and keeps it.
//
//go:norace
func (o *owned) giveBack() {
	c := o.c
	o.closed = true
	o.shut()
	if !c.begin() {
		return
	}
	o.handOver()
	switch main := o.mainNum; {
	case main == 0:
	case c.sheaf(main).n > 0:
		o.pushStock(main)
	default:
		c.pushEmpty(main)
	}
	o.setMain(0)
	for n := o.popStock(); n != 0; n = o.popStock() {
		c.pushFull(n)
	}
	if o.vacant != 0 {
		c.pushEmpty(o.vacant)
		o.vacant = 0
	}
	c.memoryCame()
	c.checkDepot()
	c.delist(o)
	race.Disable()
	c.release() // Close waits until here
	race.Enable()
}

// openSheaves returns how many Sheaves of the cache are open, how many objects they
// hold, and where some of them were made. With shutThem their owners are refused
// from their next operation on: the cache is closed.
//
// A hold of the lock looks at sheavesPerLook of them. The place where the next one
// goes on is an owned in the list, without a cache.
//
//go:norace
func (c *cache) openSheaves(shutThem bool) (n, objects int, made []string) {
	race.Disable()
	opened.Lock()
	none := c.open == nil
	opened.Unlock()
	race.Enable()
	if none {
		return 0, 0, nil
	}
	place := new(owned)
	var pcs [sitesMost]uintptr
	c.enlist(place)
	race.Disable()
	for more := true; more; {
		opened.Lock()
		for looks := 0; more && looks < sheavesPerLook; looks++ {
			o := place.after
			if more = o != nil; !more {
				break
			}
			c.unlinkOpenLocked(place)
			c.insertLocked(place, o)
			if o.c == nil {
				continue // another one's place
			}
			n++
			objects += int(c.peek(&o.mainNum) + c.peek(&o.rcuNum) + atomic.LoadInt64(&o.stocked)) // ord:stat
			if shutThem {
				o.shut()
				if n <= sitesMost {
					pcs[n-1] = o.made
				}
			}
		}
		opened.Unlock()
	}
	race.Enable()
	c.delist(place)
	for _, pc := range pcs {
		if pc != 0 {
			made = append(made, site(pc))
		}
	}
	return n, objects, made
}

const (
	sheavesPerLook = 64
	// sitesMost is how many open Sheaves an error names, and how many call sites.
	sitesMost = 4
)

// site names a place in the program.
func site(pc uintptr) string {
	f, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	return heapprof.Place(f)
}
