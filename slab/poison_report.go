//go:build poison || asan

package slab

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"quiesce/internal/report"
	"quiesce/page"
)

// Reports. Their shape is KASAN's: a headline that names the function, the
// access and its stack, who allocated and who freed the object, where in it the
// address is, and the bytes around it.

// bytesKey explains the bytes of a dump.
const bytesKey = "fa fc red zone, fb in quarantine, fd free, f5 never allocated, c5 never written"

// reportFound writes what examine found. Each finding counts twice, as in the
// kernel: found, and restored.
func (c *poison) reportFound(found []string) int {
	for _, text := range found {
		c.errors.Add(2)
		writeReport(text)
	}
	return 2 * len(found)
}

// report reports what Validate found wrong with the cache itself.
func (c *poison) report(what string) {
	c.errors.Add(1)
	writeReport("BUG: quiesce: " + what + "\n")
}

// reportHeader begins a report: headline, what was done, and the stack.
func reportHeader(kind, what string, by track) string {
	return headline(kind, by.caller()) + eventText(what, by.g, *stackOf(by.stack).render())
}

// history says who allocated the object and who freed it.
func (o *object) history(state uint32) string {
	var b strings.Builder
	event := func(what string, t track) {
		b.WriteString("\n" + eventText(what, t.g, *stackOf(t.stack).render()))
	}
	if o.alloc.g != 0 {
		event("Allocated", o.alloc)
	}
	switch {
	case o.free.g == 0:
	case !o.free.rcu:
		event("Freed", o.free)
	case state == stPending:
		event(pendingText, o.free)
	default:
		event(reclaimedText, o.free)
	}
	return b.String()
}

var stateNames = map[uint32]string{
	stFresh: "never allocated", stFree: "freed", stAllocated: "allocated", stPending: "freed", stQuarantined: "freed",
}

// located says where the address is relative to the object.
func (c *poison) located(addr, p unsafe.Pointer, size uintptr, state uint32) string {
	return locatedText(uintptr(addr), uintptr(p), size, stateNames[state], c.name)
}

// dump shows the bytes around addr, 16 to a line, within [lo, hi). Without
// bounds it shows nothing.
func dump(addr, lo, hi unsafe.Pointer) string {
	if lo == nil {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\nMemory around the buggy address (%s):\n", bytesKey)
	row := uintptr(addr) &^ 15
	for r := row - 32; r <= row+32; r += 16 {
		if r < uintptr(lo) || r >= uintptr(hi) {
			continue
		}
		mark := ' '
		if r == row {
			mark = '>'
		}
		bytes := peek(unsafe.Add(lo, r-uintptr(lo)))
		fmt.Fprintf(&b, "%c%#x: % x\n", mark, r, bytes[:])
		if r == row {
			fmt.Fprintf(&b, "%*s^^\n", len(fmt.Sprintf(">%#x: ", r))+3*int(uintptr(addr)-r), "")
		}
	}
	return b.String()
}

// peek reads memory that other goroutines may write to.
//
//go:norace
func peek(p unsafe.Pointer) (b [16]byte) {
	for i := range b {
		b[i] = *(*byte)(unsafe.Add(p, i))
	}
	return b
}

// slabBounds returns where the slab of an object begins and ends, for dump. With
// -asan its neighbours must not be read, and the bounds are nil.
func (c *poison) slabBounds(p unsafe.Pointer) (lo, hi unsafe.Pointer) {
	if asanOn {
		return nil, nil
	}
	lo = c.pointer(firstUnit(c.head(uint32(c.unitOf(p)))))
	return lo, unsafe.Add(lo, page.Size<<c.order)
}

// describeAddr describes the object that p points into, for reports of bad frees.
func describeAddr(p unsafe.Pointer) string {
	if s := guardSlotOf(p); s != nil {
		return s.describe(p)
	}
	text := "\nThe address is in no slab: not of this package, or its slab became pages.\n"
	registry.Range(func(_, v any) bool {
		c := v.(*cache)
		if !c.core.Contains(p) {
			return true
		}
		o, start := c.poison.objectAt(uint32((uintptr(p) - uintptr(c.base)) >> unitShift))
		if o == nil {
			return true
		}
		obj := c.pointer(start)
		st, pin := o.lock()
		copied := object{asked: o.asked, alloc: o.alloc, free: o.free}
		o.unlock(st, pin)
		size := uintptr(copied.asked)
		if st == stFresh {
			size = c.poison.asked
		}
		lo, hi := c.poison.slabBounds(obj)
		text = copied.history(st) + c.poison.located(p, obj, size, st) + dump(p, lo, hi)
		return false
	})
	return text
}

// Describe returns what is known of the object that p points into or next to: cache,
// state, who allocated and who freed it. It knows the objects that [SampleGuards]
// watches, and in a build with -tags poison all. Of others it returns "".
//
// Context: any.
//
// Linux: mem_dump_obj.
func Describe(p unsafe.Pointer) string { return describeAddr(p) }

// examination is one comparison of an object's memory with its state.
type examination struct {
	c      *poison
	o      *object
	p      unsafe.Pointer // the object
	size   uintptr        // of it, for the report
	state  uint32
	op     string // during which it takes place
	by     track
	lo, hi unsafe.Pointer // what may be dumped
	found  []string       // the reports
}

// part makes a report if one of n bytes at lo is not b, and restores them.
func (e *examination) part(kind string, lo unsafe.Pointer, n uintptr, b byte) {
	first, last := differs(lo, n, b)
	if first < 0 {
		return
	}
	at := unsafe.Add(lo, first)
	text := reportHeader(kind+", found", fmt.Sprintf("Write of size %d at addr %#x (its end is the last byte changed), found at %s", last-first+1, uintptr(at), e.op), e.by)
	text += e.o.history(e.state) + e.c.located(at, e.p, e.size, e.state) + dump(at, e.lo, e.hi)
	fill(at, uintptr(last-first+1), b)
	e.found = append(e.found, text+fmt.Sprintf("Restored %d bytes to %#x.\n", last-first+1, b))
}

// examine compares an object's memory with its state, makes a report of each
// part that was written to, and restores it. The caller has locked the object
// and passes its state.
func (c *poison) examine(o *object, state uint32, p unsafe.Pointer, op string, by track) []string {
	c.expose(p)
	asked, b := uintptr(o.asked), byte(0)
	switch state {
	case stFresh:
		b = byteFresh
	case stFree:
		b = byteFree
	case stQuarantined:
		b = byteQuarantine
	}
	e := examination{c: c, o: o, p: p, size: asked, state: state, op: op, by: by}
	e.lo, e.hi = c.slabBounds(p)
	if state == stFresh {
		e.size = c.asked
	}
	if c.lead > 0 {
		e.part("slab-out-of-bounds", unsafe.Add(p, -c.lead), c.lead, byteZone)
		e.part("slab-out-of-bounds", unsafe.Add(p, c.size), c.pitch-c.lead-c.size, byteZone)
	}
	if b != 0 {
		e.part("slab-use-after-free", p, c.size, b)
		c.conceal(p, 0)
	} else {
		e.part("slab-out-of-bounds", unsafe.Add(p, asked), c.size-asked, bytePad)
		c.conceal(p, asked)
	}
	return e.found
}

// inspect locks an object and examines it.
func (c *poison) inspect(o *object, off uint32, op string) int {
	by := callerTrack()
	st, pin := o.lock()
	found := c.examine(o, st, c.pointer(off), op, by)
	o.unlock(st, pin)
	return c.reportFound(found)
}

// examineAll is Validate's check of the objects' memory, in holds of mu for some
// objects each. A slab that goes between two holds was checked when it went, and
// what has come in its place is checked from the same object on.
func (c *poison) examineAll() (errors int) {
	pg, i := uint32(0), 0
	for pg < c.core.Opened() {
		c.mu.LockIRQ()
		var n int
		n, pg, i = c.examineSomeLocked(pg, i)
		c.mu.UnlockIRQ()
		errors += n
	}
	return errors
}

// examineSomeLocked examines up to objectsPerHold objects, from the i-th of the
// slab at page pg on, or finds that a stretch of pages has none. It returns where to
// look next. All slabs of a cache have one length here.
func (c *poison) examineSomeLocked(pg uint32, i int) (errors int, nextPg uint32, next int) {
	left := objectsPerHold
	for to := min(pg+pagesPerHold, c.core.Opened()); pg < to; pg, i = pg+1<<c.order, 0 {
		if c.core.Meta(pg).Owner != c.id {
			continue
		}
		for info := c.info(pg); i < len(info.objects); i++ {
			if left == 0 {
				return errors, pg, i
			}
			left--
			errors += c.inspect(&info.objects[i], c.objectStart(pg, uintptr(i)), "Validate")
		}
	}
	return errors, pg, i
}

func init() {
	report.Validate = func() {
		registry.Range(func(_, c any) bool {
			c.(*cache).validate()
			return true
		})
	}
}

// leaks reports the objects that are still allocated when the cache is
// closed, by where they were allocated, and returns how many of them have
// guard pages.
func (c *poison) leaks() (guarded int) {
	leaks := map[uint32]int{}
	var bytes, n int
	count := func(o *object) bool {
		st, pin := o.lock()
		id, asked := o.alloc.stack, int(o.asked)
		o.unlock(st, pin)
		if st != stAllocated {
			return false
		}
		leaks[id]++
		bytes, n = bytes+asked, n+1
		return true
	}
	for pg := uint32(0); pg < c.core.Opened(); pg += 1 << c.order { // the cache is closed: no slab goes
		c.mu.LockIRQ()
		if c.core.Meta(pg).Owner == c.id {
			info := c.info(pg)
			for i := range info.objects {
				count(&info.objects[i])
			}
		}
		c.mu.UnlockIRQ()
	}
	c.guardEach(func(s *guardSlot) {
		if count(&s.object) {
			guarded++
		}
	})
	if n == 0 {
		return 0
	}
	c.errors.Add(2) // the leak, and the memory that cannot be freed
	var b strings.Builder
	fmt.Fprintf(&b, "BUG: quiesce: slab-leak in cache %s, closed with %d objects, %d bytes, still allocated\nTheir slabs stay as they are.\n", c.name, n, bytes)
	ids := make([]uint32, 0, len(leaks))
	for id := range leaks {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(x, y uint32) int {
		return cmp.Or(leaks[y]-leaks[x], int(x)-int(y))
	})
	for i, id := range ids {
		if i == 20 {
			fmt.Fprintf(&b, "\nand %d other places\n", len(ids)-i)
			break
		}
		fmt.Fprintf(&b, "\n%d allocated at:\n%s", leaks[id], *stackOf(id).render())
	}
	writeReport(b.String())
	return guarded
}
