package heapprofile

import (
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"quiesce/cache"
	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
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
	_, c := open(t, rate)
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
		if leak(c, 200); i > 0 {
			leak(c, 200)
		}
	}
	for _, fn := range []func(){
		func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) },
		func() { c.Alloc(gfp.Kernel) }, func() { c.Alloc(gfp.Kernel) },
	} {
		for range 100 {
			fn()
		}
	}
	got := leakOf(t, c)
	if len(got.Sites) != 4 || !strings.Contains(got.Sites[0].Place, "heapprofile.leak ") || got.Sites[0].Objects != 1000 {
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
	Level, Msg, Cache, Map, Sites, Made string
	Objects, Size, Keys                 int
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
			if strings.Contains(r.Cache+r.Map+r.Made, name) {
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
	var got []record
	collected(t, "the dropped Sheaf and then the dropped cache are closed", func() bool {
		got = about(t.Name())
		return len(got) >= 2
	})
	for i, text := range []string{"slab: a Sheaf was not closed", "slab: a cache was not closed"} {
		if len(got) != 2 || got[i].Level != "DEBUG" || got[i].Cache != t.Name()+"-dropped" || !strings.HasPrefix(got[i].Msg, text) {
			t.Errorf("%+v", got)
		}
	}
} // and setup closes the allocator

// A map that was dropped with entries gives all of its memory back, be it small, so that
// it shares a heap, or large. So does a cache.
func TestDroppedMapsAndCachesAreFreed(t *testing.T) {
	if slab.PoisonEnabled { // whose caches the collector doesn't find
		t.SkipNow()
	}
	about := logged(t, slog.LevelInfo)
	a, _ := setup(t, 0)
	func() {
		for name, keys := range map[string]int{"small": 100, "large": 50000, "empty": 0} {
			m, err := rcuhash.New[int, object](keys, rcuhash.WithAllocator(a), rcuhash.WithName(t.Name()+"-"+name))
			if err != nil {
				t.Fatal(err)
			}
			fill(m, keys)
			b, err := rcuhash.NewBytes[string](keys, rcuhash.WithAllocator(a), rcuhash.WithName(t.Name()+"-"+name+"-bytes"))
			if err != nil {
				t.Fatal(err)
			}
			for i := range keys {
				b.Put(strconv.Itoa(i), []byte("value"))
			}
		}
		c, err := cache.New(cache.Options[int, object]{Name: t.Name() + "-cache", Allocator: a})
		if err != nil {
			t.Fatal(err)
		}
		c.Set(1, object{})
	}()
	collected(t, "five log records", func() bool { return len(about(t.Name())) >= 5 })
	collected(t, "an allocator without a page in use", func() bool { return a.Close() == nil })
	for _, r := range about(t.Name()) {
		name, _, _ := strings.Cut(strings.TrimPrefix(r.Map+r.Cache, t.Name()+"-"), "#")
		if want := map[string]int{"small": 100, "small-bytes": 100, "large": 50000, "large-bytes": 50000, "cache": 1}[name]; r.Level != "WARN" || r.Keys != want || want == 0 {
			t.Errorf("%+v", r)
		}
	}
}

// A Reader that was dropped is worth a warning in a section only.
func TestADroppedReaderIsLogged(t *testing.T) {
	about := logged(t, slog.LevelInfo)
	var g rcu.Guard
	func() {
		idle(rcu.NewReader())
		g = lost()
	}()
	collected(t, "a log record", func() bool { return len(about("heapprofile.lost ")) > 0 })
	g.Unlock()
	if all := about("heapprofile."); len(all) != 1 || all[0].Level != "WARN" {
		t.Errorf("%+v", all)
	}
}

func idle(r *rcu.Reader) { r.ReadLock(); r.Unlock() }

//go:noinline
func lost() rcu.Guard { return rcu.NewReader().ReadLock() }
