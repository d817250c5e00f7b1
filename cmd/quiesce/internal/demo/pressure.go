package demo

import (
	"time"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/page"
)

// The pressure window: a part of the run in which FreeRCU, called in a raw
// atomic context, finds what the mail is about: no array, and an allocator
// that has exhausted its caches.
//
// Page lists belong to Ps, so only code on a P can exhaust its list.
// Therefore each writer, once inside a pinned section and before the operation
// that it entered it for, takes every page from this P's list, with
// gfp.NoLocks until it gets nil, and keeps them. Allocations outside of the
// section may fill the list again, and the next section empties it again.
//
// Empty sheaves would still come back from grace periods, and others are in reserve
// from before. So a reader holds its guard for a long stretch at a time,
// and no grace period ends; and writers ask all owners of memory for some, as any
// allocation at the limit would: the caches release their reserves, and the
// allocator takes the pages from all Ps' lists.

const (
	pressureFrom   = 0.40 // of the duration
	pressureTo     = 0.60
	longStretch    = 50_000_000  // ns that the reader holds its guard; less in a short run
	longestStretch = 500_000_000 // where that was in vain
	heldShare      = 8           // all pages held are at most this part of the limit
	heldMost       = 4096        // pages that a writer holds: 16 MiB
	heldLeast      = 64          // a full list
	demandEvery    = 2 * time.Millisecond
	noLocksPage    = gfp.NoWait | gfp.NoLocks | gfp.NoWarn
)

// maxHeld is how many pages each writer may hold. Even the least of it is
// memory that the allocator counts, so the limit holds in any case.
func maxHeld(limit int64, writers int) int {
	return int(min(max(limit/heldShare/page.Size/int64(writers), heldLeast), heldMost))
}

// squeeze exhausts this P's page list while there is pressure.
//
// Context: pinned.
func (w *writer) squeeze() {
	if !w.j.pressure.Load() {
		return
	}
	for len(w.held) < cap(w.held) {
		p := w.j.pages.Alloc(0, noLocksPage)
		if p == nil {
			w.nils++
			return
		}
		w.held = append(w.held, p)
	}
}

// release frees the pages that are held.
//
// Context: task; not pinned.
func (w *writer) release() {
	w.peak = max(w.peak, len(w.held))
	for _, p := range w.held {
		w.j.pages.Free(p, 0)
	}
	w.held = w.held[:0]
}

// The map's own memory is not counted with the records: the buckets that it adds
// to full ones, and frees by RCU, have 64 bytes, which is too few for a record with
// its path. A map made for leastFiles frees nothing else.
const (
	bucketBytes = 64
	leastFiles  = 100
)

// routes sums the figures of the records' size classes.
func (j *job) routes() (r Routes, refused uint64) {
	for _, s := range j.files.Stats() {
		if s.ObjectSize == bucketBytes {
			continue
		}
		r.Array += s.RCUArrays
		r.Fallback += s.Fallback
		r.Reused += s.Reused
		r.Bulk += s.Bulk
		r.Chained += s.FallbackFreed
		refused += s.Refusals
	}
	return r, refused
}

// demand asks every owner of memory for some, now and then.
//
// Context: task; not pinned.
func (w *writer) demand() {
	if now := time.Now(); now.Sub(w.asked) > demandEvery {
		w.asked = now
		pages.CoreOf(w.j.pages).Reclaim(page.Size)
	}
}

// squeezed reports whether the pressure had its effects.
func (j *job) squeezed() bool {
	r, refused := j.routes()
	return r.Fallback > 0 && refused > 0
}
