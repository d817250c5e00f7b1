//go:build poison || asan

package slab

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// Reports. Their shape is KASAN's: a headline that names the function, what
// was done by whom, who allocated and who freed the object, where in it the
// address is, and the bytes around.

const rule = "==================================================================\n"

// bytesKey explains the bytes of a dump.
const bytesKey = "fa fc red zone, fb in quarantine, fd free, f5 never allocated, c5 never written"

var reporter atomic.Pointer[func(string)]

// panicOnReport: a report of something that would be repaired panics.
var panicOnReport = func() bool {
	v, ok := sys.Option("panic_on_report")
	return ok && v != "0"
}()

// SetReporter has fn called with every report of a `-tags poison` build in
// place of writing it to standard error, until restore is called. Other builds
// make no reports. fn may be called in any context and under the package's
// locks: it must only keep the text.
func SetReporter(fn func(report string)) (restore func()) {
	old := reporter.Swap(&fn)
	return func() { reporter.Store(old) }
}

// write writes a report out. The builtin print works pinned, where os.Stderr
// does not.
func write(body string) {
	text := rule + body + rule
	if fn := reporter.Load(); fn != nil {
		(*fn)(text)
		return
	}
	print(text)
}

// emit writes what examine found. Each finding counts twice, as in the kernel:
// what was found, and that it was repaired.
func (c *cache) emit(found []string) int {
	for _, text := range found {
		c.poison.errors.Add(2)
		write(text)
		if panicOnReport {
			headline, _, _ := strings.Cut(text, "\n")
			panic("quiesce: slab: QUIESCE=panic_on_report: " + headline)
		}
	}
	return 2 * len(found)
}

// complain reports what Validate found wrong with the cache itself.
func (c *cache) complain(what string) {
	c.poison.errors.Add(1)
	write("BUG: quiesce: " + what + "\n")
}

// headed begins a report: headline, what was done, and the stack.
func headed(kind, what string, by track) string {
	return fmt.Sprintf("BUG: quiesce: %s in %s\n%s by goroutine %d:\n%s", kind, by.caller(), what, by.g, *stackOf(by.stack).render())
}

// history says who allocated the object and who freed it.
func (o *object) history(state uint32) string {
	var b strings.Builder
	tell := func(what string, t track) {
		fmt.Fprintf(&b, "\n%s by goroutine %d:\n%s", what, t.g, *stackOf(t.stack).render())
	}
	if o.alloc.g != 0 {
		tell("Allocated", o.alloc)
	}
	switch {
	case o.free.g == 0:
	case !o.free.rcu:
		tell("Freed", o.free)
	case state == stPending:
		tell("Its grace period has not ended. Given to FreeRCU", o.free)
	default:
		tell("Its grace period has ended and it was freed. Given to FreeRCU", o.free)
	}
	return b.String()
}

var stateNames = map[uint32]string{
	stFresh: "never allocated", stFree: "freed", stAllocated: "allocated", stPending: "freed", stQuarantined: "freed",
}

// located says where the address is as seen from the object.
func (c *cache) located(addr, p unsafe.Pointer, size uintptr, state uint32) string {
	d := int64(uintptr(addr)) - int64(uintptr(p))
	at := fmt.Sprintf("%d bytes inside of", d)
	switch {
	case d < 0:
		at = fmt.Sprintf("%d bytes before", -d)
	case d >= int64(size):
		at = fmt.Sprintf("%d bytes after", d-int64(size))
	}
	return fmt.Sprintf("\nThe buggy address is located %s\n%s %d-byte object [%#x, %#x) of cache %s\n",
		at, stateNames[state], size, uintptr(p), uintptr(p)+size, c.name)
}

// dump shows the bytes around addr, 16 to a line, within [lo, hi).
func dump(addr, lo, hi unsafe.Pointer) string {
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

// peek reads memory that others may write to.
//
//go:norace
func peek(p unsafe.Pointer) (b [16]byte) {
	for i := range b {
		b[i] = *(*byte)(unsafe.Add(p, i))
	}
	return b
}

// dumpObject is dump within the object's slab. The object is the caller's:
// what ASan forbids of it is forbidden again afterwards by mark.
func (c *cache) dumpObject(addr, p unsafe.Pointer) string {
	if asanOn {
		return "" // the neighbours must not be read
	}
	off := uint32(c.unitOf(p))
	lo := c.pointer(c.head(off) << (12 - unitShift))
	return dump(addr, lo, unsafe.Add(lo, 4096<<c.order))
}

// where describes the object that p points into, for reports of bad frees.
func where(p unsafe.Pointer) string {
	if s := guardSlotOf(p); s != nil {
		return s.describe(p)
	}
	text := "\nThe address is in no slab: not of this allocator, or freed and given back.\n"
	registry.Range(func(_, v any) bool {
		c := v.(*cache)
		if !c.pages.Contains(p) {
			return true
		}
		o, start := c.objectAt(uint32((uintptr(p) - uintptr(c.base)) >> unitShift))
		if o == nil {
			return true
		}
		obj := c.pointer(start)
		st, pin := o.take()
		copied := object{asked: o.asked, alloc: o.alloc, free: o.free}
		o.put(st, pin)
		size := uintptr(copied.asked)
		if st == stFresh {
			size = c.poison.asked
		}
		text = copied.history(st) + c.located(p, obj, size, st) + c.dumpObject(p, obj)
		return false
	})
	return text
}

// Describe returns what a `-tags poison` build knows of the object that p
// points into or next to: cache, state, who allocated and who freed it. Other
// builds know nothing and return "". Any context. The kernel's mem_dump_obj.
func Describe(p unsafe.Pointer) string { return where(p) }

// examine holds an object's memory against its state, which the caller took,
// makes a report of each part that was written to, and restores it.
func (c *cache) examine(o *object, state uint32, p unsafe.Pointer, op string, by track) (found []string) {
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
	size := asked
	if state == stFresh {
		size = c.poison.asked
	}
	part := func(kind string, lo unsafe.Pointer, n uintptr, b byte) {
		first, last := differs(lo, n, b)
		if first < 0 {
			return
		}
		at := unsafe.Add(lo, first)
		text := headed(kind+", found", fmt.Sprintf("Write of size %d at addr %#x (its end is the last byte changed), found at %s", last-first+1, uintptr(at), op), by)
		text += o.history(state) + c.located(at, p, size, state) + c.dumpObject(at, p)
		fill(at, uintptr(last-first+1), b)
		found = append(found, text+fmt.Sprintf("Restored %d bytes to %#x.\n", last-first+1, b))
	}
	if c.poison.lead > 0 {
		part("slab-out-of-bounds", unsafe.Add(p, -c.poison.lead), c.poison.lead, byteZone)
		part("slab-out-of-bounds", unsafe.Add(p, c.size), c.poison.pitch-c.poison.lead-c.size, byteZone)
	}
	if b != 0 {
		part("slab-use-after-free", p, c.size, b)
		c.conceal(p, 0)
	} else {
		part("slab-out-of-bounds", unsafe.Add(p, asked), c.size-asked, bytePad)
		c.conceal(p, asked)
	}
	return found
}

// inspect is examine of an object that nobody works on.
func (c *cache) inspect(o *object, off uint32, op string) int {
	by := here()
	st, pin := o.take()
	found := c.examine(o, st, c.pointer(off), op, by)
	o.put(st, pin)
	return c.emit(found)
}

// poisonObjects is the part of Validate that looks at the objects. mu is held.
func (c *cache) poisonObjects() (errors int) {
	for head := range c.heads() {
		info := c.info(head)
		first := head << (12 - unitShift)
		for i := range info.objects {
			off := first + uint32((uintptr(i)*c.poison.pitch+c.poison.lead)/unit)
			errors += c.inspect(&info.objects[i], off, "Validate")
		}
	}
	return errors
}

// poisonLeaks reports the objects that are still allocated when the cache is
// closed, by where they were allocated, and returns how many of them have
// guard pages.
func (c *cache) poisonLeaks() (guarded int) {
	leaks := map[uint32]int{}
	var bytes, n int
	count := func(o *object) bool {
		st, pin := o.take()
		id, asked := o.alloc.stack, int(o.asked)
		o.put(st, pin)
		if st != stAllocated {
			return false
		}
		leaks[id]++
		bytes, n = bytes+asked, n+1
		return true
	}
	c.mu.LockIRQ()
	for head := range c.heads() {
		info := c.info(head)
		for i := range info.objects {
			count(&info.objects[i])
		}
	}
	c.mu.UnlockIRQ()
	c.guardEach(func(s *guardSlot) {
		if count(&s.object) {
			guarded++
		}
	})
	if n == 0 {
		return 0
	}
	c.poison.errors.Add(2) // the leak, and that the memory can't be given back
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
	write(b.String())
	return guarded
}

// patterns are pages of each byte, for fill and differs.
var patterns = func() (p [256][]byte) {
	for _, b := range []byte{0, byteFresh, byteNew, byteQuarantine, byteFree, byteZone, bytePad} {
		p[b] = bytes.Repeat([]byte{b}, 4096)
	}
	return p
}()

// fill and differs touch memory that is nobody's, which the race detector
// need not know.
//
//go:norace
func fill(p unsafe.Pointer, n uintptr, b byte) {
	s := unsafe.Slice((*byte)(p), n)
	for len(s) > 0 {
		s = s[copy(s, patterns[b]):]
	}
}

// differs returns the first and the last byte of n that are not b, or -1.
//
//go:norace
func differs(p unsafe.Pointer, n uintptr, b byte) (first, last int) {
	s, want := unsafe.Slice((*byte)(p), n), patterns[b]
	first, last = -1, -1
	for i := 0; i < len(s); i += len(want) {
		part := s[i:min(i+len(want), len(s))]
		if bytes.Equal(part, want[:len(part)]) {
			continue
		}
		for j, x := range part {
			if x != b {
				if first < 0 {
					first = i + j
				}
				last = i + j
			}
		}
	}
	return first, last
}
