package slab

import (
	"math/rand/v2"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/page"
)

// The cases of the kernel's slub_kunit.c, under their names, with the numbers
// of errors that the kernel expects. As there, a clobbered zone counts twice:
// it is found, and it is restored. Cases that write where they must not are for
// builds that look there.

type kunit struct {
	*testing.T
	pages *page.Allocator
}

// cache makes a cache for the case, whose objects are all in slabs.
func kcache[T any](k kunit) *Cache[T] {
	c := newTest[T](k, k.pages)
	withoutGuards(&c.c)
	return c
}

// validates checks how many errors Validate finds.
func (k kunit) validates(c interface{ Validate() int }, want int, when string) {
	k.Helper()
	if got := c.Validate(); got != want {
		k.Errorf("%s: %d errors, want %d", when, got, want)
	}
}

// at is byte i as seen from an object, inside of it or not.
func at[T any](p *T, i int) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(p), i)) }

func TestSLUBKUnit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		poison bool // for poison builds only
		leaves bool // the cache is left corrupt or with a leak
		run    func(kunit)
	}{
		{"clobber_zone", true, false, clobberZone},
		{"next_pointer", false, false, nextPointer},
		{"next_pointer, as the object's first word", true, false, nextPointerInTheObject},
		{"first_word", true, false, func(k kunit) { clobberFreed(k, 0) }},
		{"clobber_50th_byte", true, false, func(k kunit) { clobberFreed(k, 50) }},
		{"clobber_redzone_free", true, false, func(k kunit) { clobberFreed(k, 64) }},
		{"kmalloc_redzone_access", true, false, kmallocRedzoneAccess},
		{"kfree_rcu", false, false, kfreeRCUThenClose},
		{"kfree_rcu_wq_destroy", false, false, kfreeRCUThenCloseByAWorker},
		{"leak_destroy", false, true, leakDestroy},
		{"krealloc_redzone_zeroing", false, false, kreallocRedzoneZeroing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.poison && !poisonOn {
				t.Skip("only -tags poison looks there")
			}
			if tc.poison && asanOn {
				t.Skip("ASan ends the process at the write")
			}
			quiet(t)
			k := kunit{t, newPages(t, 0)}
			tc.run(k)
			if !tc.leaves {
				mustClose(t, k.pages)
			}
		})
	}
}

// quiet keeps reports out of the output, and returns them.
func quiet(t testing.TB) (reports func() []string) {
	var mu lock.Raw
	var all []string
	t.Cleanup(SetReporter(func(text string) {
		mu.Lock()
		all = append(all, text)
		mu.Unlock()
	}))
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		got := all
		all = nil
		return got
	}
}

func closes(k kunit, c interface{ Close() error }) {
	k.Helper()
	if err := c.Close(); err != nil {
		k.Error(err)
	}
}

// A write just after an allocated object.
func clobberZone(k kunit) {
	c := kcache[[64]byte](k)
	p := c.Alloc(gfp.Kernel)
	*at(p, 64) = 0x12
	k.validates(c, 2, "byte 64 of 64 written")
	k.validates(c, 0, "restored")
	*at(p, -1) = 0x12
	k.validates(c, 2, "byte -1 written")
	c.Free(p)
	closes(k, c)
}

// A write to a freed object, or to the red zone after it.
func clobberFreed(k kunit, i int) {
	c := kcache[[64]byte](k)
	p := c.Alloc(gfp.Kernel)
	c.Free(p)
	*at(p, i) = 0x78
	k.validates(c, 2, "a freed object written")
	k.validates(c, 0, "restored")
	closes(k, c)
}

// In the kernel this overwrites the link to the next free object, which lies in
// the object: with garbage (3 errors), with what was there, which leaves
// a count that does not fit (2), and after that repair all is well (0). Here
// a freed object is not touched and no link lies in one. The links that there
// are connect slabs, out of line. One that leads nowhere is 3 errors too: the
// link, the number of slabs and the number of objects on the list; a list that
// ends early 2, the numbers; and nothing is repaired but by the test.
func nextPointer(k kunit) {
	c := kcache[[4096]byte](k)
	n := int(c.c.perSlab)
	ps := make([]*[4096]byte, 3*n)
	if got := c.AllocBulk(gfp.Kernel, ps); got != len(ps) {
		k.Fatalf("got %d objects", got)
	}
	for i := range 3 { // one object of each slab goes back: three partial slabs
		c.Free(ps[i*n])
		ps[i*n] = nil
	}
	c.Shrink()
	first := c.c.core.Meta(c.c.slabs.partial)
	next := first.Next
	if next == 0 {
		k.Fatal("not enough slabs are partial")
	}
	k.validates(c, 0, "at first")
	first.Next = c.c.core.Opened() + 0x1234
	k.validates(c, 3, "the link leads nowhere")
	first.Next = 0
	k.validates(c, 2, "the list ends early")
	first.Next = next
	k.validates(c, 0, "the link is right again")
	c.FreeBulk(ps)
	closes(k, c)
}

// What the kernel's case does to the memory, done here: a word that looks like
// a pointer is written over a freed object's. It is one clobbered object (2),
// and no list is lost by it: everything can be allocated still, each object
// once.
func nextPointerInTheObject(k kunit) {
	c := kcache[[8]uint64](k)
	p := c.Alloc(gfp.Kernel)
	c.Free(p)
	p[0] = uint64(uintptr(unsafe.Pointer(p))) + 0x40
	k.validates(c, 2, "a freed object's first word written")
	k.validates(c, 0, "restored")
	seen := map[*[8]uint64]bool{}
	var ps []*[8]uint64
	for range 2000 {
		q := c.Alloc(gfp.Kernel)
		if q == nil || seen[q] {
			k.Fatalf("%p was handed out twice", q)
		}
		seen[q] = true
		ps = append(ps, q)
	}
	c.FreeBulk(ps)
	closes(k, c)
}

// Writes beyond the size that was asked for, within the size class.
func kmallocRedzoneAccess(k kunit) {
	h := NewHeap(k.pages)
	if err := h.Prepare(18); err != nil {
		k.Fatal(err)
	}
	withoutGuards(h.caches()...)
	p := h.Kmalloc(18, gfp.Kernel)
	*(*byte)(unsafe.Add(p, 18)) = 0xab
	*(*byte)(unsafe.Add(p, 19)) = 0xab
	k.validates(h, 2, "bytes 18 and 19 of 18 written")
	h.Kfree(p)
	closes(k, h)
}

// FreeRCU and then Close at once: Close waits.
func kfreeRCUThenClose(k kunit) {
	c := newTest[[64]byte](k, k.pages)
	c.FreeRCU(c.Alloc(gfp.Kernel))
	closes(k, c)
	k.validates(c, 0, "closed")
}

func kfreeRCUThenCloseByAWorker(k kunit) {
	most := 256
	if testing.Short() {
		most = 32
	}
	for range 10 {
		c := newTest[[64]byte](k, k.pages)
		c.FreeRCU(c.Alloc(gfp.Kernel))
		time.Sleep(time.Duration(rand.IntN(most)) * time.Millisecond)
		<-testkit.Async(func() { closes(k, c) })
		k.validates(c, 0, "closed")
	}
}

// The cache is closed with an object allocated. The kernel counts the report
// of the objects and that the cache can't be destroyed; here it is the report
// and that the memory cannot be freed. Plain builds have the error only.
func leakDestroy(k kunit) {
	c := newTest[[64]byte](k, k.pages)
	c.Alloc(gfp.Kernel)
	if c.Close() == nil {
		k.Error("Close has no error")
	}
	if poisonOn && errorsOf(&c.c) != 2 {
		k.Errorf("%d errors, want 2", errorsOf(&c.c))
	}
	if k.pages.Close() == nil {
		if !guarded(&c.c) {
			k.Error("the leaked object's slab was freed")
		}
	}
}

// Shrinking and growing within the size class moves the red zone with it, and
// with gfp.Zero what is gained is zero. (The case is as in the kernel.)
func kreallocRedzoneZeroing(k kunit) {
	h := NewHeap(k.pages)
	if err := h.Prepare(64, 200); err != nil {
		k.Fatal(err)
	}
	withoutGuards(h.caches()...)
	bytes := func(p unsafe.Pointer, from, to int) []byte { return unsafe.Slice((*byte)(p), to)[from:] }
	all := func(when string, b []byte, want byte) {
		for i, x := range b {
			if x != want {
				k.Errorf("%s: byte %d of %d is %#x, want %#x", when, i, len(b), x, want)
				return
			}
		}
	}
	const f = gfp.Kernel | gfp.Zero
	p := h.Kmalloc(64, f)
	all("allocated", bytes(p, 0, 64), 0)
	for i := range bytes(p, 0, 64) {
		bytes(p, 0, 64)[i] = byte(i + 1)
	}
	q := h.Krealloc(p, 52, f)
	if q != p {
		k.Fatal("shrinking within the class moved the object")
	}
	if poisonOn && !asanOn {
		all("red zone after shrinking", bytes(p, 52, 64), padding)
	}
	if q = h.Krealloc(p, 64, f); q != p {
		k.Fatal("growing within the class moved the object")
	}
	all("grown again", bytes(p, 52, 64), 0)
	q = h.Krealloc(p, 200, f)
	all("grown by a move", bytes(q, 52, 200), 0)
	for i, b := range bytes(q, 0, 52) {
		if b != byte(i+1) {
			k.Fatalf("byte %d became %#x", i, b)
		}
	}
	k.validates(h, 0, "at the end")
	if h.Krealloc(q, 0, f) != nil || h.Krealloc(q, -1, f) != nil || h.Krealloc(q, maxSize+1, f) != nil {
		k.Error("a size of nonsense was served")
	}
	h.Kfree(q)
	h.Kfree(h.Krealloc(nil, 10, f))
	closes(k, h)
}

// closeSound closes the heap and its allocator, and checks that Validate finds
// no error before.
func closeSound(t *testing.T, h *Heap, a *page.Allocator) {
	t.Helper()
	h.Barrier()
	if n := h.Validate(); n != 0 {
		t.Errorf("%d errors, want 0", n)
	}
	mustClose(t, h, a)
}
