package slab

import (
	"fmt"
	"math/bits"
	"sync/atomic"

	"quiesce/internal/pages"
)

// The walk. Validate looks at all slabs and at both lists, which may be millions,
// and a hold of mu at so many. Between two holds the others change slabs and
// lists. Yet it checks the same identities (slabs.go) as one hold would, each of
// them at one moment, and none of them only roughly:
//
// A slab's bitmap is checked against its InUse within one hold.
//
// The counts are checked against what the slabs say: of the slabs whose head is
// below the walk's frontier there is a tally. The walk adds those of a stretch of
// pages, and moves the frontier past them, in one hold. Every change of a slab's
// InUse, and of whether it is a slab, is between unlinkLocked and linkLocked, in
// one hold too, and while there is a walk both of them keep the tally: a slab that
// changes leaves it as it was and enters it as it is. So in every hold the tally is
// what one walk over the pages below the frontier would find. At last the frontier
// is beyond all pages, and the tally is compared with the counts in the same hold.
// The tally is kept from the slabs' own InUse and the counts by their users, so an
// error in either stays a difference.
//
// A list is walked from its first slab, and a bit for each page says which slabs
// were passed; there is a tally of these. A slab that is linked is linked in
// front, so it is passed as it enters. One that leaves the list while it was
// passed leaves the tally. The slab that the walk looks at next, or looked at
// last, may leave: then its neighbour takes its place. So the passed slabs are
// always those from the first to the walk's place, and at the list's end they are
// the list. They are compared, in that hold, with the tally of the slabs in the
// state that the list is for.
//
// A walk's fields are protected by mu; without one (walk is nil) all of it costs
// a branch for each slab that changes lists.

// tally sums up slabs.
type tally struct {
	count, objects, out int // slabs, their objects, those in use
	partial, partialOut int // slabs in use in part, and their objects in use
	empty               int // slabs without objects in use
}

// walk is a Validate under way.
type walk struct {
	*cache
	wrong []string // what was found
	step  walkStep

	frontier uint32 // slabs that begin below it are in all
	all      tally

	list     *uint32  // the list that is walked, or nil
	at, prev uint32   // the slab to look at next, and the one that was looked at last
	passed   []uint64 // a bit for each page: a slab of the list begins here and was passed
	on       tally    // the passed slabs
}

// walkStep is what the next hold does.
type walkStep int

const (
	walkPages walkStep = iota
	walkPartial
	walkEmpty
	walkCounts
)

func (w *walk) report(format string, args ...any) {
	w.wrong = append(w.wrong, fmt.Sprintf("cache %s: "+format, append([]any{w.name}, args...)...))
}

// makeRoom makes the bits that a list's walk begins with. Its caller holds no
// lock, and no list is being walked if there are too few.
func (w *walk) makeRoom() {
	if n := int(w.core.Opened()/64 + 1); w.list == nil && len(w.passed) < n {
		w.passed = make([]uint64, n)
	}
}

// stepLocked does what one hold may. It returns false when the walk is over.
func (w *walk) stepLocked() (more bool) {
	switch w.step {
	case walkPages:
		w.slabs.walk = w
		if !w.pagesLocked() {
			w.step++
		}
		return true
	case walkPartial:
		if w.listLocked("partial", &w.slabs.partial) {
			return true
		}
		if w.on.count != w.all.partial {
			w.report("%d slabs are partial, %d are on their list", w.all.partial, w.on.count)
		}
		if w.on.out != w.all.partialOut {
			w.report("%d objects of partial slabs are in use, %d of the list's", w.all.partialOut, w.on.out)
		}
	case walkEmpty:
		if w.listLocked("empty", &w.slabs.empty) {
			return true
		}
		if w.on.count != w.all.empty || w.on.count != w.slabs.empties {
			w.report("%d slabs are empty, %d are on their list, %d are counted", w.all.empty, w.on.count, w.slabs.empties)
		}
	case walkCounts:
		w.slabs.walk = nil
		if w.all.count != w.slabs.count {
			w.report("%d slabs, %d are counted", w.all.count, w.slabs.count)
		}
		if w.all.objects != w.slabs.objects {
			w.report("slabs for %d objects, %d are counted", w.all.objects, w.slabs.objects)
		}
		if w.all.out != w.slabs.inuse {
			w.report("%d objects are out of their slabs, %d are counted", w.all.out, w.slabs.inuse)
		}
		return false
	}
	w.list, w.passed = nil, nil
	w.step++
	return true
}

// add counts a slab, or with sign -1 forgets it.
func (t *tally) add(inUse, perSlab uint32, sign int) {
	t.count += sign
	t.objects += sign * int(perSlab)
	t.out += sign * int(inUse)
	switch inUse {
	case 0:
		t.empty += sign
	case perSlab:
	default:
		t.partial += sign
		t.partialOut += sign * int(inUse)
	}
}

// isPassed reports whether a slab of the list was passed. A page without a bit
// had no metadata when the list's walk began, so that its slab came later.
func (w *walk) isPassed(head uint32) bool {
	return int(head>>6) >= len(w.passed) || w.passed[head>>6]&(1<<(head&63)) != 0
}

func (w *walk) passLocked(head uint32, m *pages.Meta) {
	w.on.add(m.InUse, w.shapeOfSlab(m).perSlab, 1)
	if i := int(head >> 6); i < len(w.passed) {
		w.passed[i] |= 1 << (head & 63)
	}
}

// leavesLocked is called with a slab that will leave its list l, which is nil for
// a full slab, before it does.
func (w *walk) leavesLocked(head uint32, m *pages.Meta, l *uint32) {
	if head < w.frontier {
		w.all.add(m.InUse, w.shapeOfSlab(m).perSlab, -1)
	}
	if l == nil || l != w.list {
		return
	}
	if head == w.at {
		w.at = m.Next
	}
	if head == w.prev {
		w.prev = m.Prev
	}
	if w.isPassed(head) {
		w.on.add(m.InUse, w.shapeOfSlab(m).perSlab, -1)
		if i := int(head >> 6); i < len(w.passed) {
			w.passed[i] &^= 1 << (head & 63)
		}
	}
}

// enteredLocked is called with a slab that has become the first of its list l,
// which is nil for a full slab.
func (w *walk) enteredLocked(head uint32, m *pages.Meta, l *uint32) {
	if head < w.frontier {
		w.all.add(m.InUse, w.shapeOfSlab(m).perSlab, 1)
	}
	if l == nil || l != w.list {
		return
	}
	if w.prev == 0 {
		w.prev = head
	}
	w.passLocked(head, m)
}

// pagesLocked moves the frontier past a stretch of pages, whose slabs it checks.
// It returns false when it is past all of them: pages that are opened later
// are below it then.
func (w *walk) pagesLocked() (more bool) {
	opened := w.core.Opened()
	to := min(w.frontier+pagesPerHold, opened)
	for head := range w.headsOfLocked(w.frontier, to) {
		m := w.core.Meta(head)
		n, s := 0, w.shapeOfSlab(m)
		for i, bm := range w.words(w.allocBits, head) {
			bm = atomic.LoadUint64(&bm) // ord:stat
			if bm&^s.starts[i] != 0 {
				w.report("slab %#x has an allocation bit where no object begins: %#x", head, bm&^s.starts[i])
			}
			n += bits.OnesCount64(bm)
		}
		if n != int(m.InUse) {
			w.report("slab %#x counts %d objects in use, its bitmap %d", head, m.InUse, n)
		}
		w.all.add(m.InUse, s.perSlab, 1)
	}
	if w.frontier = to; to < opened {
		return true
	}
	w.frontier = ^uint32(0)
	return false
}

// listLocked passes some slabs of a list, from the first on. It returns false at
// the list's end, or at a link that leads astray.
func (w *walk) listLocked(name string, first *uint32) (more bool) {
	if w.list == nil {
		if int(w.core.Opened()/64) >= len(w.passed) {
			return true // makeRoom will
		}
		w.list, w.at, w.prev, w.on = first, *first, 0, tally{}
	}
	for range slabsPerLook {
		head := w.at
		if head == 0 {
			return false
		}
		if head >= w.core.Opened() || w.head(firstUnit(head)) != head || w.core.Meta(head).Owner != w.id {
			w.report("the list of %s slabs leads from %#x to page %#x, which is no slab of this cache", name, w.prev, head)
			return false
		}
		m := w.core.Meta(head)
		if m.Prev != w.prev || w.listOf(m) != w.list || w.isPassed(head) {
			w.report("slab %#x does not belong where it is on the list of %s slabs", head, name)
			return false
		}
		w.passLocked(head, m)
		w.prev, w.at = head, m.Next
	}
	return true
}
