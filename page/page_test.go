package page

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// quiet is NoWait without a log line for each failure that a test provokes.
const quiet = gfp.NoWait | gfp.NoWarn

func newTest(t testing.TB, c Config) *Allocator {
	t.Helper()
	return newGranule(t, c, 0)
}

func newGranule(t testing.TB, c Config, granule int) *Allocator {
	t.Helper()
	if c.Name == "" {
		c.Name = t.Name()
	}
	if c.Reserve == 0 {
		c.Reserve = 1 << 30
	}
	a, err := newAllocator(c, granule)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !a.closed.Load() && !t.Failed() {
			checkEmpty(t, a)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	return a
}

// checkEmpty shrinks an allocator of which all was freed, and wants nothing
// to be lost: everything is free, without memory and coalesced.
func checkEmpty(t testing.TB, a *Allocator) {
	t.Helper()
	a.waitIdle()
	a.Shrink()
	s := statsAtRest(a)
	granule := int64(1) << a.granule
	if s.InUse != 0 || s.OnLists != 0 || s.Deferred != 0 {
		t.Errorf("after freeing all and Shrink: %+v", s)
	}
	if min := (granule - 1) * Size; s.FreePopulated > min || s.Resident != s.Metadata+Size+s.FreePopulated {
		t.Errorf("memory left after Shrink: %+v", s)
	}
	checkZone(t, a)
	added := int64(a.core.Added.Load())
	want := added>>MaxOrder - 1 // the first block of the highest order lacks page 0
	if got := s.FreeBlocks[MaxOrder]; got < want {
		t.Errorf("%d pages in the buddy have %d blocks of order %d, want %d: %v", added, got, MaxOrder, want, s.FreeBlocks)
	}
	for o := range MaxOrder {
		if n := s.FreeBlocks[o]; n > 2 {
			t.Errorf("%d free blocks of order %d are not coalesced: %v", n, o, s.FreeBlocks)
		}
	}
}

// atRest runs fn while none of the allocator's goroutines is at work. The
// scavenger may go on for seconds, and is kept out.
func atRest(a *Allocator, fn func()) {
	a.waitIdle()
	a.grow.Lock()
	defer a.grow.Unlock()
	a.waitIdle() // what the scavenger started
	fn()
}

// allocPinned allocates in a pinned section with flags that allow the zone lock,
// on which no goroutine may park there.
func allocPinned(a *Allocator, order int, f gfp.Flags) (p unsafe.Pointer) {
	atRest(a, func() {
		pin := preempt.Disable()
		p = a.Alloc(order, f)
		pin.Enable()
	})
	return p
}

// statsAtRest returns figures that agree with each other.
func statsAtRest(a *Allocator) (s Stats) {
	atRest(a, func() { s = a.Stats() })
	return s
}

// checkZone walks all pages below the frontier and checks the identities of
// zone, which hold at rest.
func checkZone(t testing.TB, a *Allocator) {
	t.Helper()
	atRest(a, func() { checkZoneAtRest(t, a) })
}

func checkZoneAtRest(t testing.TB, a *Allocator) {
	t.Helper()
	a.core.LockZone()
	defer a.core.UnlockZone()
	var freePages, freePop, pop int64
	added := a.core.Added.Load()
	for page := uint32(0); page < added; page++ {
		w := a.meta(page).Read()
		pop += int64(w & pages.Populated / pages.Populated)
		if w&pages.StateMask != pages.Free {
			continue
		}
		o := pages.Order(w)
		if page&(1<<o-1) != 0 {
			t.Errorf("free block at page %d of order %d is misaligned", page, o)
		}
		if n := a.countPopulated(page, o); n != pages.Count(w) {
			t.Errorf("free block at page %d counts %d populated pages and has %d", page, pages.Count(w), n)
		}
		freePages += 1 << o
		freePop += int64(pages.Count(w))
	}
	if g := a.zone.freePages.Load(); g != freePages {
		t.Errorf("freePages is %d, the blocks have %d", g, freePages)
	}
	if g := a.zone.freePop.Load(); g != freePop {
		t.Errorf("freePop is %d, the blocks have %d", g, freePop)
	}
	if r, want := a.zone.resident.Load(), a.zone.metadata.Load()+pop*Size; r != want {
		t.Errorf("resident is %d, metadata and populated pages are %d", r, want)
	}
	if r := a.zone.resident.Load(); a.limit > 0 && r > a.limit {
		t.Errorf("resident is %d, above the limit of %d", r, a.limit)
	}
}

func fill(p unsafe.Pointer, order int, b byte) {
	s := unsafe.Slice((*byte)(p), Size<<order)
	for i := 0; i < len(s); i += 512 {
		s[i] = b
	}
}

func filled(p unsafe.Pointer, order int, b byte) bool {
	s := unsafe.Slice((*byte)(p), Size<<order)
	for i := 0; i < len(s); i += 512 {
		if s[i] != b {
			return false
		}
	}
	return true
}

func TestEveryOrderIsAlignedZeroedAndUsable(t *testing.T) {
	a := newTest(t, Config{})
	for range 2 { // the second round reuses dirty blocks
		for o := 0; o <= MaxOrder; o++ {
			p := a.Alloc(o, gfp.Kernel|gfp.Zero)
			if p == nil {
				t.Fatalf("order %d: nil", o)
			}
			if off := uintptr(p) - uintptr(a.core.Base); off&(Size<<o-1) != 0 || off == 0 {
				t.Errorf("order %d: offset %#x is misaligned or page 0", o, off)
			}
			if !filled(p, o, 0) {
				t.Errorf("order %d: not zeroed", o)
			}
			fill(p, o, 0xff)
			if !a.Contains(p) || a.core.Base != unsafe.Add(p, -int(a.core.PageOf(p))<<Shift) {
				t.Errorf("order %d: Contains, Base and PageOf disagree", o)
			}
			a.Free(p, o)
		}
	}
	for _, o := range []int{-1, MaxOrder + 1, -1 << 63, 1<<63 - 1} {
		if p := a.Alloc(o, gfp.Kernel); p != nil {
			t.Errorf("order %d: %p, want nil", o, p)
		}
	}
}

func TestMetaIs32Bytes(t *testing.T) {
	if n := unsafe.Sizeof(pages.Meta{}); n != pages.MetaSize {
		t.Errorf("Meta has %d bytes", n)
	}
	if n := unsafe.Sizeof(pcp{}); n%128 != 0 {
		t.Errorf("pcp has %d bytes, not whole lines", n)
	}
}

func TestPageZeroIsZeroAndNobodys(t *testing.T) {
	a := newTest(t, Config{Limit: 1 << 20})
	var ps []unsafe.Pointer
	for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
		if a.core.PageOf(p) == 0 {
			t.Fatal("page 0 was handed out")
		}
		fill(p, 0, 1)
		ps = append(ps, p)
	}
	if !filled(a.core.Base, 0, 0) {
		t.Error("page 0 is not zero")
	}
	testkit.Panics(t, func() { a.Free(a.core.Base, 0) }, "page 0")
	for _, p := range ps {
		a.Free(p, 0)
	}
}

func TestOwnersMetadataStartsZeroAndIsLeftAlone(t *testing.T) {
	a := newTest(t, Config{})
	p := a.Alloc(0, gfp.Kernel)
	m := a.meta(a.core.PageOf(p))
	if m.Owner|m.InUse|m.Next|m.Prev|m.Chained != 0 {
		t.Errorf("%+v", *m)
	}
	m.Owner, m.InUse, m.Next, m.Prev, m.Chained = 1, 2, 3, 4, 5
	alloc, pend, wait := a.core.AllocBits, a.core.PendBits, a.core.WaitBits
	for i, b := range []unsafe.Pointer{alloc, pend, wait} {
		w := unsafe.Slice((*uint64)(unsafe.Add(b, uintptr(a.core.PageOf(p))*pages.BitBytes)), pages.BitBytes/8)
		for j := range w {
			if w[j] != 0 {
				t.Errorf("bitmap %d starts with %#x", i, w[j])
			}
			w[j] = uint64(i) + 1
		}
	}
	page := a.core.PageOf(p)
	a.Free(p, 0)
	a.Shrink()
	if m := a.meta(page); m.Owner != 1 || m.InUse != 2 || m.Next != 3 || m.Prev != 4 || m.Chained != 5 {
		t.Errorf("changed: %+v", *m)
	}
}

func TestFreedBlocksCoalesceToTheHighestOrder(t *testing.T) {
	a := newTest(t, Config{})
	var ps [MaxOrder + 1][]unsafe.Pointer
	for i := range 2000 {
		o := i % (MaxOrder + 1)
		if o > 4 && i%7 != 0 {
			o = 0
		}
		ps[o] = append(ps[o], a.Alloc(o, gfp.Kernel))
	}
	checkZone(t, a)
	for o := range ps {
		rand.Shuffle(len(ps[o]), func(i, j int) { ps[o][i], ps[o][j] = ps[o][j], ps[o][i] })
		for _, p := range ps[o] {
			a.Free(p, o)
		}
	}
	checkEmpty(t, a)
}

func TestBadFreesPanicWithAllocatorAddressAndRule(t *testing.T) {
	a := newTest(t, Config{Name: "bad-frees"})
	b := newTest(t, Config{Name: "other"})
	p := a.Alloc(2, gfp.Kernel)
	addr := fmt.Sprintf("%#x", uintptr(p))
	testkit.Panics(t, func() { a.Free(p, 1) }, "bad-frees", addr, "wrong order", "order 2")
	testkit.Panics(t, func() { a.Free(p, -1) }, "bad-frees", addr, "wrong order")
	testkit.Panics(t, func() { a.Free(p, 1<<40) }, "bad-frees", addr, "wrong order")
	testkit.Panics(t, func() { a.Free(unsafe.Add(p, 16), 2) }, "bad-frees", "misaligned")
	testkit.Panics(t, func() { a.Free(unsafe.Add(p, Size), 0) }, "bad-frees", "not the first page")
	testkit.Panics(t, func() { b.Free(p, 2) }, "other", addr, "foreign")
	testkit.Panics(t, func() { a.Free(nil, 0) }, "bad-frees", "foreign")
	testkit.Panics(t, func() { a.Free(unsafe.Pointer(t), 0) }, "bad-frees", "foreign")
	testkit.Panics(t, func() { a.Free(unsafe.Add(a.core.Base, a.core.Size/2), 0) }, "bad-frees", "never handed out")
	a.Free(p, 2)
	testkit.Panics(t, func() { a.Free(p, 2) }, "bad-frees", addr, "double free")
	a.Shrink()
	testkit.Panics(t, func() { a.Free(p, 2) }, "bad-frees", addr, "double free")
	q := a.Alloc(9, gfp.Kernel)
	a.Free(q, 9)
	testkit.Panics(t, func() { a.Free(q, 9) }, "bad-frees", "double free")
}

func TestNewRefusesBadConfigs(t *testing.T) {
	for _, c := range []struct {
		Config
		want string
	}{
		{Config{Limit: -1}, "Limit is negative"},
		{Config{Limit: 1}, "below"},
		{Config{Limit: 64<<30 + 1}, "above the largest range"},
		{Config{Limit: sectionMeta + Size - 1}, "below"},
		{Config{Reserve: -1}, "Reserve is negative"},
		{Config{Reserve: 64<<30 + 1}, "maximum"},
		{Config{Reserve: 1<<63 - 1}, "maximum"},
		{Config{ReclaimTimeout: -1}, "negative"},
	} {
		a, err := New(c.Config)
		if a != nil || err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v, want a line with %q", c.Config, err, c.want)
		}
	}
	a, err := newAllocator(Config{Limit: sectionMeta + Size, Reserve: 1}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if p := a.Alloc(0, gfp.Kernel|gfp.NoWarn); p != nil {
		t.Error("a page beyond the limit")
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

type namedReclaimer struct{ name string }

func (r *namedReclaimer) Reclaim(int64)  {}
func (r *namedReclaimer) String() string { return r.name }

func TestCloseReportsPagesInUseAndRecyclesTheRange(t *testing.T) {
	a := newTest(t, Config{Reserve: 123 << 20})
	p, q := a.Alloc(0, gfp.Kernel), a.Alloc(5, gfp.Kernel)
	fill(q, 5, 7)
	user := &namedReclaimer{name: "cache sessions"}
	a.AddReclaimer(user)
	var leak *LeakError
	err := a.Close()
	if !errors.As(err, &leak) || leak.Pages != 33 || leak.Name != a.name || !slices.Equal(leak.Users, []string{user.name}) {
		t.Errorf("Close: %#v", err)
	}
	if want := "page: allocator " + a.name + ": Close with 33 pages in use; not closed: cache sessions"; fmt.Sprint(err) != want {
		t.Errorf("Close: %v, want %s", err, want)
	}
	a.RemoveReclaimer(user)
	if err := a.Close(); err == nil || !strings.HasSuffix(err.Error(), "33 pages in use") {
		t.Errorf("Close: %v", err)
	}
	a.Free(q, 5)
	if r := a.Alloc(0, gfp.Kernel); r == nil {
		t.Error("unusable after a Close that failed")
	} else {
		a.Free(r, 0)
	}
	a.Free(p, 0)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	base := a.core.Base
	if r := a.Alloc(0, gfp.Kernel); r != nil {
		t.Error("Alloc after Close")
	}
	testkit.Panics(t, func() { a.Free(p, 0) }, "closed")
	if err := a.Close(); !errors.Is(err, ErrClosed) || !strings.HasPrefix(err.Error(), "page: allocator ") {
		t.Errorf("the second Close: %v, want ErrClosed", err)
	}
	if s := a.Stats(); s.Resident != 0 || a.Shrink() != 0 {
		t.Errorf("%+v", s)
	}
	b := newTest(t, Config{Reserve: 123 << 20})
	if b.core.Base != base {
		t.Error("the range is not recycled")
	}
	r := b.Alloc(5, gfp.Kernel)
	if r == nil || !filled(r, 5, 0) {
		t.Error("recycled memory is not zero")
	}
	if m := b.meta(b.core.PageOf(r)); m.Owner != 0 {
		t.Error("recycled metadata is not zero")
	}
	b.Free(r, 5)
}

// A machine with pages of 16 KiB or 64 KiB, simulated: it populates and
// discards no less than that.
func TestLargeSystemPages(t *testing.T) {
	for _, g := range []int{2, 4} {
		a := newGranule(t, Config{Limit: 8 << 20}, g)
		var ps []unsafe.Pointer
		for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
			ps = append(ps, p)
		}
		if s := a.Stats(); s.InUse < 7<<20 {
			t.Errorf("granule %d: only %d bytes in use: %+v", g, s.InUse, s)
		}
		checkZone(t, a)
		for _, p := range ps {
			a.Free(p, 0)
		}
		p := a.Alloc(9, gfp.Kernel)
		checkZone(t, a)
		a.Free(p, 9)
		checkEmpty(t, a)
	}
}
