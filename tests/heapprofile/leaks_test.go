package heapprofile

import (
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/inspect"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/slab"
)

// What is said of objects that nobody freed: by Close, and of a cache that was dropped.

// leaky makes a cache that is not to be closed by the test's end, on an allocator that
// is not either: both have leaks.
func leaky(t *testing.T, rate int) *slab.Cache[object] {
	t.Helper()
	if slab.PoisonEnabled { // a leak is a report, and a cache that was dropped stays
		t.Skip("poison builds have reports of their own")
	}
	was := inspect.SetHeapProfileRate(rate)
	t.Cleanup(func() { inspect.SetHeapProfileRate(was) })
	a, err := page.New(page.Config{Name: t.Name(), Reserve: 128 << 20})
	if err != nil {
		t.Fatal(err)
	}
	c, err := slab.NewCache[object](t.Name(), slab.WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// leakOf closes a cache that has a leak.
func leakOf(t *testing.T, c *slab.Cache[object]) *slab.LeakError {
	t.Helper()
	var leak *slab.LeakError
	if err := c.Close(); !errors.As(err, &leak) {
		t.Fatalf("Close: %v", err)
	}
	return leak
}

func TestCloseNamesTheCallSiteOfALeak(t *testing.T) {
	c := leaky(t, 1)
	borrow(c, 500) // the leak gets what this leaves
	leak(c, 300)
	borrow(c, 10)
	got := leakOf(t, c)
	if got.Objects != 300 || len(got.Sites) == 0 || !strings.HasPrefix(got.Sites[0].Place, "quiesce/tests/heapprofile.leak ") {
		t.Fatalf("%+v", got)
	}
	if got.Sites[0].Objects != 300 || len(got.Sites) != 1 {
		t.Errorf("%v", got.Sites)
	}
	for _, part := range []string{"300 objects of 96 bytes", "by estimate from samples allocated at quiesce/tests/heapprofile.leak ", "profile_test.go:", "(about "} {
		if !strings.Contains(got.Error(), part) {
			t.Errorf("%q lacks %q", got, part)
		}
	}
}

// The estimates are scaled: those of a rate are about what there is, and not more in sum.
func TestSitesOfALeakAreScaled(t *testing.T) {
	c := leaky(t, 64<<10)
	keep(c, 30000)
	leak(c, 90000)
	got := leakOf(t, c)
	by, sum := map[string]int64{}, 0
	for _, s := range got.Sites {
		name, _, _ := strings.Cut(strings.TrimPrefix(s.Place, "quiesce/tests/heapprofile."), " ")
		by[name] += int64(s.Objects)
		sum += s.Objects
	}
	if got.Objects != 120000 || sum != 120000 {
		t.Errorf("%d objects, %d at call sites", got.Objects, sum)
	}
	// As in TestInUseIsWhatTheCallSitesHave. keep calls take.
	if !about(by["leak"], 90000, 0.25) || !about(by["take"], 30000, 0.75) {
		t.Errorf("%v", got.Sites)
	}
}

// Stacks that pass one place are one site, and there are four at most.
func TestFewSitesOfALeakAreNamed(t *testing.T) {
	c := leaky(t, 1)
	for i := range 3 {
		if leak(c, 2000); i > 0 {
			leak(c, 2000)
		}
	}
	for _, fn := range []func(){
		func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) },
		func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) },
	} {
		for range 1000 {
			fn()
		}
	}
	got := leakOf(t, c)
	if len(got.Sites) != 4 || !strings.Contains(got.Sites[0].Place, "heapprofile.leak ") || got.Sites[0].Objects < 9000 {
		t.Errorf("%v", got.Sites)
	}
	for i := range got.Sites[1:] {
		if got.Sites[i].Objects < got.Sites[i+1].Objects {
			t.Errorf("not by size: %v", got.Sites)
		}
	}
}

// Without samples the error says how to have them.
func TestALeakWithoutSamples(t *testing.T) {
	c := leaky(t, 0)
	leak(c, 3)
	got := leakOf(t, c)
	if got.Objects != 3 || len(got.Sites) != 0 || !strings.Contains(got.Error(), "inspect.SetHeapProfileRate(1)") {
		t.Errorf("%v, sites %v", got, got.Sites)
	}
}

// record is what the tests read of a log record.
type record struct {
	Level, Msg, Cache, Sites string
	Objects, Size            int
}

// logged collects the log records about what has a name in it.
func logged(t *testing.T, level slog.Level) (about func(name string) []record) {
	t.Helper()
	var sink testkit.Buffer
	old := slog.Default()
	slog.SetDefault(slog.New(slog.NewJSONHandler(&sink, &slog.HandlerOptions{Level: level})))
	t.Cleanup(func() { slog.SetDefault(old) })
	return func(name string) (all []record) {
		for line := range strings.Lines(sink.String()) {
			var r record
			if err := json.Unmarshal([]byte(line), &r); err != nil {
				t.Errorf("%v: %s", err, line)
			}
			if strings.Contains(r.Cache, name) {
				all = append(all, r)
			}
		}
		return all
	}
}

// collected waits until the collector and its finalizers have done their work.
func collected(t *testing.T, what string, done func() bool) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, what, func() bool {
		runtime.GC()
		return done()
	})
}

// A cache that was dropped with a leak is named, with the leak's call site, once.
func TestADroppedCacheIsLogged(t *testing.T) {
	about := logged(t, slog.LevelInfo)
	func() {
		c := leaky(t, 1)
		borrow(c, 100)
		leak(c, 400)
		c.FreeRCU(c.Alloc(gfp.Kernel))
	}()
	collected(t, "a log record", func() bool { return len(about(t.Name())) > 0 })
	for range 3 {
		runtime.GC()
	}
	got := about(t.Name())
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	if r := got[0]; r.Level != "WARN" || r.Objects != 400 || r.Size != size || !strings.HasPrefix(r.Sites, "quiesce/tests/heapprofile.leak ") {
		t.Errorf("%+v", r)
	}
}

// So is each size class of a Heap.
func TestADroppedHeapIsLogged(t *testing.T) {
	about := logged(t, slog.LevelInfo)
	func() {
		leaky(t, 1)
		h := slab.NewHeap(page.Default(), slab.HeapName(t.Name()))
		kmalloc(h, 64, 100)
		kmalloc(h, 1024, 7)
		h.Kfree(h.Kmalloc(2000, gfp.Kernel))
	}()
	collected(t, "two log records", func() bool { return len(about(t.Name())) >= 2 })
	by := map[string]record{}
	for _, r := range about(t.Name()) {
		by[r.Cache] = r
	}
	small, large := by[t.Name()+"-64"], by[t.Name()+"-1024"]
	if len(by) != 2 || small.Objects != 100 || large.Objects != 7 || !strings.Contains(small.Sites, "heapprofile.kmalloc ") {
		t.Errorf("%+v", by)
	}
}

//go:noinline
func kmalloc(h *slab.Heap, size, n int) {
	for range n {
		h.Kmalloc(size, gfp.Kernel)
	}
}

// Caches that are closed, and those that are dropped with nothing allocated, are no
// trouble: of the latter there is a line for those who want to know. Their memory is
// freed, so that the allocator can be closed.
func TestAProgramWithoutLeaksIsQuiet(t *testing.T) {
	about := logged(t, slog.LevelDebug)
	var a *page.Allocator
	func() {
		var c *slab.Cache[object]
		a, c = setup(t, 1)
		borrow(c, 1000)
	}()
	if slab.PoisonEnabled {
		return
	}
	func() {
		c, err := slab.NewCache[object](t.Name()+"-dropped", slab.WithAllocator(a))
		if err != nil {
			t.Fatal(err)
		}
		borrow(c, 1000)
		s, err := c.Sheaf(10, gfp.Kernel) // dropped as well
		if err != nil {
			t.Fatal(err)
		}
		s.FreeRCU(s.Alloc(gfp.Kernel))
	}()
	collected(t, "the dropped cache is closed", func() bool { return len(about(t.Name()+"-dropped")) > 0 })
	for _, r := range about(t.Name()) {
		if r.Level != "DEBUG" || r.Cache != t.Name()+"-dropped" {
			t.Errorf("%+v", r)
		}
	}
} // and setup closes the allocator
