package inspect_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"maps"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"weak"

	"quiesce/cache"
	"quiesce/gfp"
	"quiesce/inspect"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

type object [6]uint64

// checkSlabs checks the identities of every slab cache of an allocator.
func checkSlabs(t *testing.T, s inspect.State, allocator string) {
	t.Helper()
	for _, c := range s.SlabCaches {
		if c.Allocator != allocator {
			continue
		}
		if c.Objects != c.Free+c.Out && !slab.PoisonEnabled { // which has objects outside of slabs
			t.Errorf("%s: Objects %d, Free %d + Out %d", c.Name, c.Objects, c.Free, c.Out)
		}
		if c.Out != c.Live+c.Cached+c.Deferred+c.Held {
			t.Errorf("%s: Out %d, Live %d + Cached %d + Deferred %d + Held %d", c.Name, c.Out, c.Live, c.Cached, c.Deferred, c.Held)
		}
		if c.LiveBytes != int64(c.Live*c.ObjectSize) || c.Fill < 0 || c.Fill > 1 {
			t.Errorf("%s: Live %d of %d bytes, LiveBytes %d, Fill %v", c.Name, c.Live, c.ObjectSize, c.LiveBytes, c.Fill)
		}
	}
}

// An object is live, cached, deferred or held by a Sheaf, and at rest each count
// is exact.
func TestSnapshotSplitsTheObjectsOfASlabCache(t *testing.T) {
	a := pages(t, 0)
	c := must[*slab.Cache[object]](t)(slab.NewCache[object](t.Name(), slab.WithAllocator(a)))
	name := t.Name()
	expect := func(when string, live, deferred, held int) {
		t.Helper()
		testkit.Eventually(t, 10*time.Second, when, func() bool {
			got := slabCache(t, name)
			return got.Live == live && got.Deferred == deferred && got.Held == held ||
				slab.PoisonEnabled // where some are outside of slabs, and the counts of them are not exact
		})
		checkSlabs(t, inspect.Snapshot(), name)
	}
	expect("a new cache", 0, 0, 0)

	const n = 5000
	ps := make([]*object, n)
	if got := c.AllocBulk(gfp.Kernel, ps); got != n {
		t.Fatalf("%d objects", got)
	}
	expect("5000 are allocated", n, 0, 0)
	c.FreeBulk(ps[:1000])
	expect("1000 are freed", n-1000, 0, 0)

	rcu.Read(func(rcu.Guard) {
		for _, p := range ps[1000:3000] {
			c.FreeRCU(p)
		}
		expect("a reader holds up 2000", n-3000, 2000, 0)
	})
	c.Barrier()
	expect("their grace period is over", n-3000, 0, 0)

	s := must[*slab.Sheaf[object]](t)(c.Sheaf(100, gfp.Kernel))
	held := s.Len()
	if held < 100 {
		t.Fatalf("the Sheaf holds %d", held)
	}
	if !slab.PoisonEnabled { // which frees into the quarantine
		expect("a Sheaf is open", n-3000, 0, held)
	}
	s.Close()
	expect("it is closed", n-3000, 0, 0)

	c.FreeBulk(ps[3000:])
	expect("all are freed", 0, 0, 0)
	c.Shrink()
	if got := slabCache(t, name); (got.Cached != 0 || got.Bytes != 0) && !slab.PoisonEnabled {
		t.Errorf("after Shrink: %d cached, %d bytes", got.Cached, got.Bytes)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	for _, c := range inspect.Snapshot().SlabCaches {
		if c.Name == name {
			t.Error("a closed cache is shown")
		}
	}
}

// At rest the parts of an allocator's memory add up.
func TestSnapshotOfAnAllocator(t *testing.T) {
	a := pages(t, 16<<20)
	var blocks [page.MaxOrder][]func()
	for order := range blocks {
		for range 4 {
			p := a.Alloc(order, gfp.Kernel)
			blocks[order] = append(blocks[order], func() { a.Free(p, order) })
		}
	}
	for order := range blocks {
		blocks[order][0]()
	}
	testkit.Eventually(t, 10*time.Second, "the identity", func() bool {
		s := allocator(t, t.Name())
		return s.Resident == s.Metadata+page.Size+s.InUse+s.OnLists+s.Deferred+s.FreePopulated &&
			s.InUse == 3*(1<<page.MaxOrder-1)*page.Size && s.Limit == 16<<20 && s.LargestFree >= page.Size
	})
	for order := range blocks {
		for _, free := range blocks[order][1:] {
			free()
		}
	}
}

// A bounded cache and the slabs that it is made of are shown under its name, and
// every entry that was stored is accounted for.
func TestSnapshotOfACache(t *testing.T) {
	a := pages(t, 8<<20)
	c := must[*cache.Cache[int, [64]byte]](t)(cache.New(cache.Options[int, [64]byte]{
		Name: t.Name(), MaxEntries: 1000, Allocator: a,
	}))
	for i := range 5000 {
		if err := c.Set(i, [64]byte{}); err != nil {
			t.Fatal(err)
		}
		c.Get(i - 1)
		if i%7 == 0 {
			c.Delete(i)
		}
	}
	s := inspect.Snapshot()
	got := find(t, s.Caches, t.Name(), func(c inspect.Cache) string { return c.Name })
	if got.Sets != uint64(got.Entries)+got.Evictions+got.Expirations+got.Deletes+got.Replaced+got.Cleared+got.Dropped {
		t.Errorf("entries don't add up: %+v", got)
	}
	if got.Sets != 5000 || got.Hits+got.Misses != 5000 || got.HitRatio != float64(got.Hits)/5000 || got.Allocator != t.Name() {
		t.Errorf("%+v", got)
	}
	if len(s.Maps) != 0 {
		t.Errorf("the map of a cache is shown: %+v", s.Maps)
	}
	owned := 0
	for _, c := range s.SlabCaches {
		if c.Owner == t.Name() {
			owned++
			if !strings.HasPrefix(c.Name, t.Name()+"-") {
				t.Errorf("a size class of the cache is called %s", c.Name)
			}
		}
	}
	if owned == 0 {
		t.Error("no size class of the cache is shown")
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if s := inspect.Snapshot(); len(s.Caches) != 0 {
		t.Errorf("a closed cache is shown: %+v", s.Caches)
	}
}

// Whatever the program calls them, no two objects of a kind have one name.
func TestNamesDoNotCollide(t *testing.T) {
	a := pages(t, 0)
	var closers []func() error
	for range 3 {
		m := must[*rcuhash.Map[int, int]](t)(rcuhash.New[int, int](0, rcuhash.WithAllocator(a)))
		n := must[*rcuhash.Bytes[string]](t)(rcuhash.NewBytes[string](1<<12, rcuhash.WithAllocator(a), rcuhash.WithName("m")))
		h := slab.NewHeap(a, slab.HeapName("h"))
		h.Kfree(h.Kmalloc(64, gfp.Kernel))
		c := must[*slab.Cache[object]](t)(slab.NewCache[object]("h-64", slab.WithAllocator(a)))
		closers = append(closers, m.Close, n.Close, h.Close, c.Close)
	}
	s := inspect.Snapshot()
	for kind, names := range map[string][]string{
		"maps":  namesOf(s.Maps, func(m inspect.Map) string { return m.Name }),
		"slabs": namesOf(s.SlabCaches, func(c inspect.SlabCache) string { return c.Name }),
	} {
		if len(names) < 6 || !slices.IsSortedFunc(names, func(a, b string) int {
			if a == b {
				t.Errorf("two %s are called %s", kind, a)
			}
			return 0
		}) {
			t.Errorf("%s: %q", kind, names)
		}
	}
	if want := []string{"m", "m#2", "m#3", "map", "map#2", "map#3"}; !slices.Equal(namesOf(s.Maps, func(m inspect.Map) string { return m.Name }), want) {
		t.Errorf("maps: %+v, want %q", s.Maps, want)
	}
	for _, fn := range closers {
		if err := fn(); err != nil {
			t.Error(err)
		}
	}
}

func namesOf[T any](list []T, nameOf func(T) string) (names []string) {
	for _, e := range list {
		names = append(names, nameOf(e))
	}
	return names
}

// Being shown keeps no map alive.
func TestSnapshotKeepsNothingAlive(t *testing.T) {
	a, err := page.New(page.Config{Name: t.Name(), Reserve: 16 << 20}) // stays, with the map's pages
	if err != nil {
		t.Fatal(err)
	}
	gone := func() weak.Pointer[rcuhash.Map[int, int]] {
		m := must[*rcuhash.Map[int, int]](t)(rcuhash.New[int, int](0, rcuhash.WithAllocator(a), rcuhash.WithName(t.Name())))
		find(t, inspect.Snapshot().Maps, t.Name(), func(m inspect.Map) string { return m.Name })
		return weak.Make(m)
	}()
	testkit.Eventually(t, 20*time.Second, "the map was collected", func() bool {
		runtime.GC()
		return gone.Value() == nil
	})
	for _, m := range inspect.Snapshot().Maps {
		if m.Name == t.Name() {
			t.Error("a map that is gone is shown")
		}
	}
}

// Snapshots may be taken while everything comes and goes.
func TestSnapshotWhileObjectsComeAndGo(t *testing.T) {
	goroutines := 3
	if race.Enabled { // there the closing of two caches at a time is reported
		goroutines = 1
	}
	var users sync.WaitGroup
	for range goroutines {
		users.Go(func() {
			for range 20 {
				a, err := page.New(page.Config{Name: "coming", Reserve: 4 << 20})
				if err != nil {
					t.Error(err)
					return
				}
				c, err := slab.NewCache[object]("coming", slab.WithAllocator(a))
				if err != nil {
					t.Error(err)
					return
				}
				m, err := rcuhash.New[int, int](0, rcuhash.WithAllocator(a))
				if err != nil {
					t.Error(err)
					return
				}
				c.FreeRCU(c.Alloc(gfp.Kernel))
				m.Put(1, 1)
				for _, err := range []error{m.Close(), c.Close(), a.Close()} {
					if err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	end := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for !testkit.IsClosed(end) {
			inspect.Snapshot()
		}
	})
	users.Wait()
	close(end)
	watcher.Wait()
}

// What a reader holds up is shown while it does.
func TestSnapshotShowsWhatAGracePeriodWaitsFor(t *testing.T) {
	g := rcu.ReadLock()
	r := rcu.NewReader()
	done := make(chan struct{})
	go func() {
		defer close(done)
		rcu.Synchronize()
	}()
	testkit.Eventually(t, 10*time.Second, "a grace period that waits", func() bool {
		s := inspect.Snapshot().RCU
		return s.InProgress && s.WaitsFor == "a preemptible reader" && s.WaitingNS > 0 && s.Readers.Preemptible == 1 && s.Readers.Registered == 1
	})
	r.ReadLock()
	if s := inspect.Snapshot().RCU; s.Readers.InSection != 1 {
		t.Errorf("readers: %+v", s.Readers)
	}
	r.Unlock()
	g.Unlock()
	testkit.Within(t, "the grace period", done)
	r.Close()
	testkit.Eventually(t, 10*time.Second, "rest", func() bool {
		s := inspect.Snapshot().RCU
		return s.WaitsFor == "" && s.Readers == inspect.Readers{}
	})
}

// The keys that programs read are those of testdata/keys.txt: some may come, none
// may go.
func TestKeysOfTheJSON(t *testing.T) {
	text, err := json.Marshal(inspect.State{
		Allocators: make([]inspect.Allocator, 1), SlabCaches: make([]inspect.SlabCache, 1), Maps: make([]inspect.Map, 1), Caches: make([]inspect.Cache, 1),
		RCU: inspect.RCU{Running: make([]inspect.Callback, 1), Events: make([]inspect.Event, 1)},
	})
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	keys := make(map[string]bool)
	collectKeys("", v, keys)
	snake := regexp.MustCompile(`^[a-z0-9_.]+$`)
	for k := range keys {
		if !snake.MatchString(k) {
			t.Errorf("key %s", k)
		}
	}
	want, err := os.ReadFile("testdata/keys.txt")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(slices.Sorted(maps.Keys(keys)), "\n") + "\n"; got != string(want) {
		t.Errorf("testdata/keys.txt is not what there is:\n%s", got)
	}
}

func collectKeys(at string, v any, keys map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			keys[at+k] = true
			collectKeys(at+k+".", e, keys)
		}
	case []any:
		for _, e := range v {
			collectKeys(at, e, keys)
		}
	}
}

func TestPublishExpvar(t *testing.T) {
	name := fmt.Sprint(t.Name(), time.Now().UnixNano()) // it stays, and the test may run again
	inspect.PublishExpvar(name)
	var s inspect.State
	if err := json.Unmarshal([]byte(expvar.Get(name).String()), &s); err != nil {
		t.Fatal(err)
	}
	if s.Process.GOMAXPROCS != runtime.GOMAXPROCS(0) || s.Process.GoBytes < s.Process.GoHeapBytes || s.Process.GoHeapBytes == 0 {
		t.Errorf("%+v", s.Process)
	}
	find(t, s.Allocators, "default", func(a inspect.Allocator) string { return a.Name })
}

// The target is 5 ms for 1,000 caches. A bounded cache is made of some slab caches,
// which are shown as well.
func BenchmarkSnapshotOf1000Caches(b *testing.B) {
	for name, open := range map[string]func(*page.Allocator) (func() error, error){
		"slab": func(a *page.Allocator) (func() error, error) {
			c, err := slab.NewCache[object]("bench", slab.WithAllocator(a))
			if err != nil {
				return nil, err
			}
			c.Free(c.Alloc(gfp.Kernel))
			return c.Close, nil
		},
		"bounded": func(a *page.Allocator) (func() error, error) {
			c, err := cache.New(cache.Options[int, [64]byte]{Name: "bench", MaxEntries: 100, Allocator: a})
			if err != nil {
				return nil, err
			}
			for k := range 200 {
				if err := c.Set(k, [64]byte{}); err != nil {
					return nil, err
				}
			}
			return c.Close, nil
		},
	} {
		b.Run(name, func(b *testing.B) {
			a, err := page.New(page.Config{Name: "bench"})
			if err != nil {
				b.Fatal(err)
			}
			for range 1000 {
				closeIt, err := open(a)
				if err != nil {
					b.Fatal(err)
				}
				defer closeIt()
			}
			for b.Loop() {
				inspect.Snapshot()
			}
		})
	}
}
