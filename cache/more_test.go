package cache

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

func TestGetOrLoadLoadsOnce(t *testing.T) {
	c := newCache(t, Options[string, int]{MaxBytes: 1 << 20})
	calls := 0
	begun, finish := make(chan struct{}), make(chan struct{})
	load := func(context.Context, string) (int, error) {
		calls++ // by one at a time
		close(begun)
		<-finish
		return 42, nil
	}
	done := testkit.AsyncN(5, func(i int) {
		if i > 0 {
			<-begun
		}
		if v, err := c.GetOrLoad(context.Background(), "k", load); v != 42 || err != nil {
			t.Error(v, err)
		}
	})
	<-begun
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.GetOrLoad(ctx, "k", load); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(finish)
	testkit.Within(t, "all have the value", done)
	if v, ok := c.Get("k"); calls != 1 || v != 42 || !ok {
		t.Error(calls, v, ok)
	}
}

func TestGetOrLoadAfterAnErrorAndAPanic(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	bad := errors.New("bad")
	if _, err := c.GetOrLoad(context.Background(), 1, func(context.Context, int) (int, error) { return 0, bad }); err != bad {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = c.GetOrLoad(context.Background(), 1, func(context.Context, int) (int, error) { panic("load") })
	}()
	ctx, cancel := context.WithCancel(context.Background())
	begun := make(chan struct{})
	first := testkit.Async(func() {
		_, err := c.GetOrLoad(ctx, 1, func(ctx context.Context, _ int) (int, error) {
			close(begun)
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	<-begun
	second := testkit.Async(func() {
		v, err := c.GetOrLoad(context.Background(), 1, func(context.Context, int) (int, error) { return 7, nil })
		if v != 7 || err != nil {
			t.Error("a call whose context is not cancelled", v, err)
		}
	})
	cancel()
	testkit.Within(t, "the first", first)
	testkit.Within(t, "the second", second)
}

func TestWhatWasDeletedWhileItWasLoadedIsNotStored(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	for name, change := range map[string]func(){
		"Delete": func() { c.Delete(1) },
		"Clear":  func() { c.Clear() },
		"Set":    func() { _ = c.Set(1, 2) },
		"Absent": func() { _, _ = c.SetIfAbsent(1, 2) },
	} {
		c.Delete(1)
		v, err := c.GetOrLoad(context.Background(), 1, func(context.Context, int) (int, error) {
			change()
			return 1, nil
		})
		if got, ok := c.Get(1); v != 1 || err != nil || ok && got == 1 {
			t.Errorf("%s: loaded %d, %v; then %d, %v", name, v, err, got, ok)
		}
	}
}

// The last moment: the load has ended, and its value is about to be stored.
func TestAChangeThatComesWhileALoadIsStoredWins(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 1 << 20})
	for name, change := range map[string]func(){
		"Delete":      func() { c.Delete(1) },
		"Clear":       func() { c.Clear() },
		"Set":         func() { _ = c.Set(1, 2) },
		"SetIfAbsent": func() { _, _ = c.SetIfAbsent(1, 2) },
	} {
		c.Delete(1)
		v, err := c.fs.load(t.Context(), 1,
			func(context.Context, int) (int, error) { return 1, nil },
			func() (int, bool) { return c.peekCopy(1) },
			func(v int, stale *atomic.Bool) {
				k := 1
				h := c.x.index.Hash(keyPointer(&k))
				n, err := c.x.newNode(h, keyPointer(&k), 0, false)
				if err != nil {
					t.Fatal(err)
				}
				*(*int)(unsafe.Add(n, c.back)) = v
				change()
				if stored, err := c.x.put(h, keyPointer(&k), n, 0, false, stale); stored || err != nil {
					t.Errorf("%s: stored %v, %v", name, stored, err)
				}
			})
		if got, ok := c.Get(1); v != 1 || err != nil || ok && got == 1 {
			t.Errorf("%s: loaded %d, %v; then %d, %v", name, v, err, got, ok)
		}
	}
}
func TestSetMaxBytes(t *testing.T) {
	c := newCache(t, Options[int, [200]byte]{MaxBytes: 8 << 20})
	fill := func() {
		for i := range 60_000 {
			if err := c.Set(i, [200]byte{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	fill()
	if err := c.SetMaxBytes(1 << 20); err != nil {
		if raceOrPoison && errors.Is(err, ErrBusy) {
			t.Skip("builds that watch every object empty no sparse slabs")
		}
		t.Fatal(err)
	}
	if s := c.Stats(); s.Bytes > 1<<20 || s.MaxBytes != 1<<20 || s.Entries == 0 && !raceOrPoison {
		t.Errorf("%+v", s)
	}
	fill()
	if s := c.Stats(); s.Bytes > 1<<20 {
		t.Errorf("%+v", s)
	}
	small := c.Len()
	if err := c.SetMaxBytes(16 << 20); err != nil {
		t.Fatal(err)
	}
	fill()
	if s := c.Stats(); s.Entries < 8*small || s.Bytes > 16<<20 {
		t.Errorf("%d entries in 1 MiB, then %+v", small, s)
	}
}

func TestZeroOnFree(t *testing.T) {
	c := newCache(t, Options[int, [64]byte]{MaxBytes: 1 << 20, ZeroOnFree: true})
	secret := [64]byte{}
	copy(secret[:], "secret")
	if err := c.Set(1, secret); err != nil {
		t.Fatal(err)
	}
	g := rcu.ReadLock()
	v := c.GetGuarded(g, 1)
	at := unsafe.Pointer(v)
	c.Delete(1)
	if *v != secret {
		t.Error("it was overwritten under a guard")
	}
	g.Unlock()
	if raceOrPoison {
		return // the memory may not be looked at
	}
	eventually(t, "the memory is zero", func() bool { return *(*[64]byte)(at) == [64]byte{} })
}

func TestACacheThatIsNotClosedIsCleanedUp(t *testing.T) {
	pages, err := page.New(page.Config{Limit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	func() {
		c, err := New(Options[int, int]{Allocator: pages, Name: "lost"})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Set(1, 1)
	}()
	eventually(t, "its memory is free", func() bool {
		runtime.GC()
		pages.Shrink()
		return pages.Stats().InUse == 0
	})
	eventually(t, "the cleanup has returned", func() bool {
		sharing.mu.Lock()
		defer sharing.mu.Unlock()
		return sharing.of[pages] == nil
	})
	if err := pages.Close(); err != nil {
		t.Error(err)
	}
}

func TestCachesShareAnAllocator(t *testing.T) {
	pages, err := page.New(page.Config{Limit: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	a, err := New(Options[int, [100]byte]{Allocator: pages, Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	b, err := New(Options[int, [100]byte]{Allocator: pages, Name: "b"})
	if err != nil {
		t.Fatal(err)
	}
	set := func(c *Cache[int, [100]byte], n int) {
		for i := range n {
			if err := c.Set(i, [100]byte{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	set(a, 100_000)
	full := a.Len()
	set(b, 100_000)
	if a.Len() > full*9/10 || b.Len() < full/5 || pages.Stats().Peak > 8<<20 {
		t.Errorf("a had %d entries, then a has %d and b %d; %d bytes", full, a.Len(), b.Len(), pages.Stats().Peak)
	}
	if err := errors.Join(a.Close(), b.Close(), pages.Close()); err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for want, o := range map[string]Options[int, int]{
		"one of MaxBytes, MaxEntries and Allocator": {},
		"MaxBytes is 1":   {MaxBytes: 1},
		"TTL is negative": {MaxBytes: 1 << 20, TTL: -1},
		"MaxEntries is":   {MaxEntries: -1},
	} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	if _, err := New(Options[int, *int]{MaxBytes: 1 << 20}); err == nil {
		t.Error("a value with a Go pointer is accepted")
	}
}

func TestMaxEntries(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxEntries: 1000})
	for i := range 10_000 {
		if err := c.Set(i, i); err != nil {
			t.Fatal(err)
		}
		if _, ok := c.Get(i); !ok || c.Len() > 1001 {
			t.Fatal(i, ok, c.Len())
		}
	}
	if n := c.Len(); n < 990 {
		t.Error(n)
	}
}
