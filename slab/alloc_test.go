package slab

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/offheap"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/page"
)

func TestNewCacheRefusesGoPointersByFieldPath(t *testing.T) {
	type inner struct {
		A uint64
		S []byte
	}
	type link struct{ P Pointer[inner] }
	for _, tc := range []struct {
		typ  reflect.Type
		want string // part of the error; "" = fine
	}{
		{reflect.TypeFor[uint64](), ""},
		{reflect.TypeFor[[4]float64](), ""},
		{reflect.TypeFor[link](), ""},
		{reflect.TypeFor[[0]*int](), ""},
		{reflect.TypeFor[uintptr](), ""},
		{reflect.TypeFor[*int](), "*int holds a Go pointer"},
		{reflect.TypeFor[struct{ X, Y struct{ Name string } }](), ".X.Name (string)"},
		{reflect.TypeFor[struct{ A [3]inner }](), ".A[].S ([]uint8)"},
		{reflect.TypeFor[struct{ M map[int]int }](), ".M (map[int]int)"},
		{reflect.TypeFor[struct{ E any }](), ".E (interface {})"},
		{reflect.TypeFor[struct{ F func() }](), ".F (func())"},
		{reflect.TypeFor[struct{ C chan int }](), ".C (chan int)"},
		{reflect.TypeFor[struct{ P unsafe.Pointer }](), ".P (unsafe.Pointer)"},
	} {
		err := offheap.Check(tc.typ)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%v: error %v, want %q", tc.typ, err, tc.want)
		}
	}
	if _, err := NewCache[struct{ X struct{ Name string } }]("users"); err == nil ||
		!strings.Contains(err.Error(), ".X.Name") || !strings.Contains(err.Error(), "users") {
		t.Errorf("NewCache: error %v names neither cache nor field", err)
	}
}

func TestNewCacheRefusesBadArguments(t *testing.T) {
	a := newPages(t, 0)
	defer mustClose(t, a)
	for _, tc := range []struct {
		what string
		err  error
	}{
		{"no name", second(NewCache[int]("", WithAllocator(a)))},
		{"long name", second(NewCache[int](strings.Repeat("x", 101), WithAllocator(a)))},
		{"object above 2 MiB", second(NewCache[[2<<20 + 1]byte]("big", WithAllocator(a)))},
		{"sheaf of 2^32 objects", func() error { // the most that fits is taken
			c, err := NewCache[int]("huge", WithAllocator(a), WithSheaf(1<<32))
			if err == nil && c.Close() == nil {
				return errors.New("fine")
			}
			return nil
		}()},
		{"negative depot", second(NewCache[int]("d", WithAllocator(a), WithDepot(-1)))},
		{"negative sheaf", second(NewCache[int]("s", WithAllocator(a), WithSheaf(-1)))},
	} {
		if tc.err == nil {
			t.Errorf("%s: no error", tc.what)
		}
	}
}

func second[A any](_ A, err error) error { return err }

func TestEverySizeIsCutIntoAlignedDisjointObjects(t *testing.T) {
	for size := uintptr(unit); size <= maxSize; size += max(unit, size/7&^(unit-1)) {
		g := cut(size)
		lead, pitch := slotOf(size) // 0 and size, but for red zones in poison builds
		if g.perSlab == 0 || uintptr(g.perSlab)*pitch > page.Size<<g.order || g.sheafCap == 0 || lead+size > pitch {
			t.Fatalf("size %d: %d objects in order %d, sheaf %d", size, g.perSlab, g.order, g.sheafCap)
		}
		n := 0
		for i, w := range g.starts {
			for b := range 64 {
				if w&(1<<b) != 0 {
					if u := uintptr(i*64 + b); u*unit != uintptr(n)*pitch+lead {
						t.Fatalf("size %d: object %d starts at %d", size, n, u*unit)
					}
					n++
				}
			}
		}
		if n != int(g.perSlab) {
			t.Fatalf("size %d: %d starts for %d objects", size, n, g.perSlab)
		}
	}
}

func TestSizeClassesWasteAtMostAQuarter(t *testing.T) {
	for size := uintptr(1); size <= maxSize; size += 1 + size/1000 {
		i := class(size)
		got := classSize(i)
		if got < size || i > 0 && classSize(i-1) >= size {
			t.Fatalf("size %d: class %d of %d bytes is not the least that fits", size, i, got)
		}
		if size > 64 && (got-size)*4 > got {
			t.Fatalf("size %d: class of %d bytes wastes more than a quarter", size, got)
		}
	}
	if class(maxSize) != classes-1 || classSize(classes-1) != maxSize {
		t.Fatalf("the last class is %d with %d bytes", class(maxSize), classSize(classes-1))
	}
}

// Every object has one owner: it writes its mark all over the object and
// finds it unchanged when it frees it.
func TestAnObjectHasOneOwner(t *testing.T) {
	t.Run("16B", ownership[[2]uint64])
	t.Run("64B", ownership[[8]uint64])
	t.Run("272B", ownership[[34]uint64])
	t.Run("5000B", ownership[[625]uint64])
	t.Run("100KB", ownership[[12800]uint64])
}

func ownership[T any](t *testing.T) {
	a := newPages(t, 0)
	c := newTest[T](t, a, WithDepot(64<<10))
	words := func(p *T) []uint64 {
		return unsafe.Slice((*uint64)(unsafe.Pointer(p)), unsafe.Sizeof(*p)/8)
	}
	budget := 3_000_000 / (8 + len(words(new(T)))) // words written in all
	if poisonOn {                                  // two stacks are recorded for each object
		budget /= 5
	}
	if testing.Short() {
		budget /= 3
	}
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	<-testkit.AsyncN(6, func(g int) {
		rnd := rand.New(rand.NewPCG(uint64(g), 1))
		var mine []*T
		var marks []uint64
		for i := range budget {
			if g == 0 && i%(budget/20+1) == 0 {
				runtime.GOMAXPROCS(1 + rnd.IntN(8))
			}
			if len(mine) == 0 || len(mine) < 3000 && rnd.IntN(2) == 0 {
				p := c.Alloc(gfp.Kernel)
				mark := uint64(g)<<32 | uint64(i)
				for j := range words(p) {
					words(p)[j] = mark
				}
				mine, marks = append(mine, p), append(marks, mark)
				continue
			}
			k := rnd.IntN(len(mine))
			p, mark := mine[k], marks[k]
			for _, w := range words(p) {
				if w != mark {
					t.Errorf("object %p: found %x in place of %x", p, w, mark)
					return
				}
			}
			mine[k], marks[k] = mine[len(mine)-1], marks[len(marks)-1]
			mine, marks = mine[:len(mine)-1], marks[:len(marks)-1]
			if rnd.IntN(2) == 0 {
				c.Free(p)
			} else {
				c.FreeRCU(p)
			}
		}
		c.FreeBulk(mine)
	})
	mustClose(t, c, a)
}

func TestBulkAllocFillsAndBulkFreeTakesNils(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[[8]uint64](t, a)
	for _, n := range []int{0, 1, 7, 1008, 1009, 5000} {
		ps := make([]*[8]uint64, n)
		if got := c.AllocBulk(gfp.Kernel|gfp.Zero, ps); got != n {
			t.Fatalf("AllocBulk of %d got %d", n, got)
		}
		seen := map[*[8]uint64]bool{}
		for i, p := range ps {
			if p == nil || seen[p] || *p != [8]uint64{} {
				t.Fatalf("object %d of %d: %p, seen %v, not zero or twice", i, n, p, seen[p])
			}
			seen[p] = true
			p[i%8] = 1
		}
		if n > 1 {
			c.Free(ps[n/2])
			ps[n/2] = nil
		}
		c.FreeBulk(ps)
	}
	c.FreeBulk([]*[8]uint64{nil, nil})
	fresh := newTest[uint64](t, a)
	fresh.FreeBulk([]*uint64{nil}) // no sheaf there yet
	mustClose(t, fresh)
	c.Free(nil)
	c.FreeRCU(nil)
	mustClose(t, c, a)
}

func TestMisusePanicsNamingCacheAndObject(t *testing.T) {
	// On one P: on another, which has neither sheaf nor page, a free goes on
	// the chain, and its misuse is the worker's to find.
	testkit.Procs(t, 1)
	var local uint64
	for _, tc := range []struct {
		what string
		do   func(c, other *Cache[uint64])
		want []string
	}{
		{"free of a Go pointer", func(c, _ *Cache[uint64]) { c.Free(&local) }, []string{"Free of foreign pointer 0x", "mine"}},
		{"FreeRCU of a Go pointer", func(c, _ *Cache[uint64]) { c.FreeRCU(&local) }, []string{"FreeRCU of foreign pointer 0x", "mine"}},
		{"FreeBulk with a Go pointer", func(c, _ *Cache[uint64]) { c.FreeBulk([]*uint64{&local}) }, []string{"FreeBulk of foreign pointer 0x", "mine"}},
		{"free off the grid", func(c, _ *Cache[uint64]) {
			c.Free((*uint64)(unsafe.Add(unsafe.Pointer(c.Alloc(gfp.Kernel)), 8)))
		}, []string{"Free of 0x", "in cache mine", "not the start of an object"}},
		{"double free, seen at Shrink", func(c, _ *Cache[uint64]) {
			p := c.Alloc(gfp.Kernel)
			c.Free(p)
			c.Free(p)
			c.Shrink()
		}, []string{"double free of 0x", "mine"}},
		{"double FreeRCU, seen at Barrier and Shrink", func(c, _ *Cache[uint64]) {
			p := c.Alloc(gfp.Kernel)
			c.FreeRCU(p)
			c.FreeRCU(p)
			c.Barrier()
			c.Shrink()
		}, []string{"double free of 0x", "mine"}},
		{"an address that was never handed out", func(c, _ *Cache[uint64]) {
			c.Free((*uint64)(unsafe.Add(c.c.base, c.c.core.Size/64)))
			c.Shrink()
		}, []string{"foreign free of 0x", "mine"}},
		{"another cache's object", func(c, other *Cache[uint64]) {
			c.Free(other.Alloc(gfp.Kernel))
			c.Shrink()
		}, []string{"foreign free of 0x", "mine"}},
		{"use after Close", func(c, _ *Cache[uint64]) {
			_ = c.Close()
			c.Alloc(gfp.Kernel)
		}, []string{"closed cache", "mine"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			a := newPages(t, 0) // never closed: its cache is corrupt
			mine, err := NewCache[uint64]("mine", WithAllocator(a))
			if err != nil {
				t.Fatal(err)
			}
			quiet(t)
			testkit.Panics(t, func() { tc.do(mine, newTest[uint64](t, a)) }, tc.want...)
		})
	}
}

func TestKmallocServesEverySizeAndRefusesNonsense(t *testing.T) {
	a := newPages(t, 0)
	h := NewHeap(a)
	for _, n := range []int{-1 << 62, -1, 0, maxSize + 1, 1 << 62} {
		if p := h.Kmalloc(n, gfp.Kernel); p != nil {
			t.Errorf("Kmalloc(%d) = %p", n, p)
		}
	}
	var ps []unsafe.Pointer
	for n := 1; n <= maxSize; n += 1 + n/3 {
		p := h.Kmalloc(n, gfp.Kernel|gfp.Zero)
		if p == nil || uintptr(p)%16 != 0 {
			t.Fatalf("Kmalloc(%d) = %p", n, p)
		}
		for _, b := range unsafe.Slice((*byte)(p), n) {
			if b != 0 {
				t.Fatalf("Kmalloc(%d, Zero) is not zero", n)
			}
		}
		for i := range unsafe.Slice((*byte)(p), n) {
			*(*byte)(unsafe.Add(p, i)) = byte(n)
		}
		ps = append(ps, p, nil)
	}
	for i, n := 0, 1; n <= maxSize; i, n = i+2, n+1+n/3 {
		s := unsafe.Slice((*byte)(ps[i]), n)
		if s[0] != byte(n) || s[n-1] != byte(n) {
			t.Fatalf("object of %d bytes was overwritten", n)
		}
		if i%3 == 0 {
			h.KfreeRCU(ps[i])
			ps[i] = nil
		}
	}
	h.KfreeBulk(ps)
	h.Kfree(nil)
	h.KfreeRCU(nil)
	quiet(t)
	testkit.Panics(t, func() { h.Kfree(unsafe.Pointer(new(int))) }, "foreign pointer 0x")
	testkit.Panics(t, func() { h.Kfree(unsafe.Add(pages.CoreOf(a).Base, 1<<30)) }, "foreign pointer 0x")
	h.Barrier()
	mustClose(t, h, a)
}

func TestCloseNamesLeaks(t *testing.T) {
	a := newPages(t, 0)
	quiet(t)
	c, _ := NewCache[[4]uint64]("leaky", WithAllocator(a))
	for range 100 {
		c.Free(c.Alloc(gfp.Kernel))
	}
	p := c.Alloc(gfp.Kernel)
	c.Alloc(gfp.Kernel)
	*p = [4]uint64{1, 2, 3, 4}
	err := c.Close()
	if err == nil || !strings.Contains(err.Error(), "leaky") || !strings.Contains(err.Error(), "2 objects") {
		t.Errorf("Close: %v", err)
	}
	if *p != [4]uint64{1, 2, 3, 4} {
		t.Error("a leaked object changed")
	}
	if err := c.Close(); err == nil {
		t.Error("the second Close has no error")
	}
}

func TestDefaultHeapIsThere(t *testing.T) {
	p := Kmalloc(100, gfp.Kernel)
	q := Kmalloc(100, gfp.Kernel)
	KfreeRCU(p)
	KfreeBulk([]unsafe.Pointer{q})
	Kfree(Kmalloc(5, gfp.Kernel))
	KfreeRCUBarrier()
	if n := len(KmallocStats()); n < 2 {
		t.Errorf("%d size classes in use", n)
	}
}
