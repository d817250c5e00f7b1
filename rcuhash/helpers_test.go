package rcuhash

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/preempt"
)

// space is the address space of a test's allocator: 0, as much as there is. An
// emulator pays for it with memory of its own.
func space() int64 {
	if testkit.Emulated() {
		return 1 << 30
	}
	return 0
}

// newPages returns an allocator, which the caller closes.
func newPages(t testing.TB, limit int64) *page.Allocator {
	t.Helper()
	a, err := page.New(page.Config{Limit: limit, Reserve: space(), Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newMap[K comparable, V any](t testing.TB, size int, limit int64) *Map[K, V] {
	t.Helper()
	a := newPages(t, limit)
	m, err := New[K, V](size, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// checkIndex walks the whole map, which nobody uses: every entry is in the one
// bucket that its hash belongs to, under its tag, once, and the counts are
// right.
func checkIndex[K comparable](t *testing.T, x *index[K]) {
	t.Helper()
	tab := x.table.Load()
	seen := map[unsafe.Pointer]bool{}
	live, mem := int64(0), int64(0)
	for i := uint64(0); i < 2*tab.n; {
		first, n := tab.blockOf(i)
		if tab.dir[first].at.Load() != 0 {
			mem += int64(n)
		}
		i += uint64(n)
	}
	for i := range tab.mask + 1 {
		b := tab.bucketAt(x.base, i)
		if b == nil || b.loadMeta()&liveBit == 0 {
			if b != nil && (!b.isEmpty() || x.next(b) != nil) {
				t.Errorf("bucket %d is not live and not empty", i)
			}
			if i < tab.n {
				t.Errorf("bucket %d, a parent, is not live", i)
			}
			continue
		}
		live++
		if b.loadMeta()&lockBit != 0 {
			t.Errorf("bucket %d is locked", i)
		}
		for c := b; c != nil; c = x.next(c) {
			if c != b {
				mem++
			}
			for s := range slots {
				n := x.node(c, s)
				if (n != nil) != (c.tagAt(s) != 0) {
					t.Errorf("bucket %d, slot %d: node %p, tag %#x", i, s, n, c.tagAt(s))
				}
				if n == nil {
					continue
				}
				h := x.hashOf(n)
				if at, _ := tab.locate(x.base, h); at != b || c.tagAt(s) != tagOf(h) || seen[n] {
					t.Errorf("bucket %d, slot %d: a node with hash %#x, tag %#x, seen %v", i, s, h, c.tagAt(s), seen[n])
				}
				seen[n] = true
			}
		}
	}
	if keys, _ := x.counts.sum(); keys != int64(len(seen)) || live != tab.live() || mem != x.counts.buckets.Load() {
		t.Errorf("counts: %d keys, %d live buckets, memory of %d; there are %d, %d, %d",
			keys, tab.live(), x.counts.buckets.Load(), len(seen), live, mem)
	}
}

// waitResized waits until no goroutine of the map's resizes it. Those that free
// what a table has left may still wait for a grace period, which the caller's own
// section may hold up.
func waitResized[K comparable](t *testing.T, x *index[K]) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, "the map's goroutine has ended", func() bool { return !x.resizing.Load() })
}

// pinnedContexts are those in which a panic ends the process.
var pinnedContexts = []struct {
	name string
	in   func(fn func())
}{
	{"pinned", func(fn func()) {
		p := preempt.Disable()
		fn()
		p.Enable()
	}},
	{"hard interrupt handler", preempt.Hardirq},
	{"under a lock.Raw", func(fn func()) {
		var mu lock.Raw
		mu.LockIRQ()
		fn()
		mu.UnlockIRQ()
	}},
}
