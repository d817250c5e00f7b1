package rcuhash

import (
	"math/bits"
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
	return newMapWith[K, V](t, size, limit)
}

// newNarrow returns a map whose entries are nodes, of whatever size.
func newNarrow[K comparable, V any](t testing.TB, size int, limit int64) *Map[K, V] {
	t.Helper()
	return newMapWith[K, V](t, size, limit, asNodes)
}

func asNodes(c *config) { c.narrow = true }

// inBothKinds runs a test with a map whose entries are in its buckets, and with one
// whose entries are nodes.
func inBothKinds(t *testing.T, size int, test func(t *testing.T, m *Map[uint64, uint64])) {
	t.Helper()
	t.Run("wide", func(t *testing.T) { test(t, newMap[uint64, uint64](t, size, 0)) })
	t.Run("narrow", func(t *testing.T) { test(t, newNarrow[uint64, uint64](t, size, 0)) })
}

func newMapWith[K comparable, V any](t testing.TB, size int, limit int64, opts ...Option) *Map[K, V] {
	t.Helper()
	a := newPages(t, limit)
	m, err := New[K, V](size, append(opts, WithAllocator(a))...)
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

// checkIndex waits until nobody resizes the map, which nobody uses, and walks all of it.
// The caller is in no section. Every entry is in the one
// bucket that its hash belongs to, under its tag, once, and the counts are
// right.
func checkIndex[K comparable](t *testing.T, x *index[K]) {
	t.Helper()
	waitResized(t, x)
	tab := x.table.Load()
	seen := map[unsafe.Pointer]bool{}
	live, mem := int64(0), int64(0)
	for i := uint64(0); i < 2*tab.n; {
		first, n := tab.blockOf(i)
		if tab.dir[first].at.Load() != 0 {
			mem += x.linesOf(n)
		}
		i += uint64(n)
	}
	for i := range tab.mask + 1 {
		b := tab.bucketAt(x.base, i)
		if b == nil || b.loadMeta()&liveBit == 0 {
			if b != nil && (x.entries(b) != 0 || x.second(b) != nil) {
				t.Errorf("bucket %d is not live and not empty", i)
			}
			if i < tab.n {
				t.Errorf("bucket %d, a parent, is not live", i)
			}
			continue
		}
		live++
		by := tab.n
		if child := tab.bucketAt(x.base, i|tab.n); child == nil || child.loadMeta()&liveBit == 0 {
			by /= 2
		}
		if own := b.loadMeta() & ownMask; own != ownBy(by, i) {
			t.Errorf("bucket %d owns by %#x, want %#x", i, own, ownBy(by, i))
		}
		if b.loadMeta()&lockBit != 0 {
			t.Errorf("bucket %d is locked", i)
		}
		c := b
		if x.isWide() {
			c = x.nextWide(b)
			if far := b.loadLow() & farBits; far != x.farLocked(b) {
				t.Errorf("bucket %d says that further ones have the tags of %#x; it is %#x", i, far, x.farLocked(b))
			}
			for s := range wideSlots {
				if b.tagAt(s) < 0x80 {
					continue
				}
				h := x.seeds.mix(*keyWord(b.entryAt(s)))
				if at, _ := tab.locate(x.base, h); at != b || b.tagAt(s) != tagOf(h) {
					t.Errorf("bucket %d, slot %d: an entry with hash %#x, tag %#x", i, s, h, b.tagAt(s))
				}
				seen[b.entryAt(s)] = true
			}
		}
		for ; c != nil; c = x.next(c) {
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
	if keys, _ := x.counts.sum(); keys != int64(len(seen)) || live != tab.live() || mem != x.counts.lines.Load() {
		t.Errorf("counts: %d keys, %d live buckets, memory of %d; there are %d, %d, %d",
			keys, tab.live(), x.counts.lines.Load(), len(seen), live, mem)
	}
}

// watched is a look-up that stops now and then.
type watched struct {
	x    *core
	t    *table
	hash uint64
	rep  uint64  // the tag in every byte
	b    *bucket // where to look, with its chain
	meta uint64  // of b, from before the look
}

// watch begins a look-up of hash h.
func (x *core) watch(t *table, h uint64) watched {
	b, meta := x.begin(t, h)
	return watched{x: x, t: t, hash: h, rep: tagOf(h) * everyByte, b: b, meta: meta}
}

// missed reports whether the look-up has to look again, in w.b.
func (w *watched) missed() bool {
	t, b, meta := w.x.missed(w.t, w.hash, w.b, w.meta)
	if b != nil {
		w.t, w.b, w.meta = t, b, meta
	}
	return b != nil
}

// entries returns how many entries the first bucket of a chain has.
func (x *core) entries(b *bucket) int {
	if x.isWide() {
		return bits.OnesCount64(b.loadLow() & wideTop)
	}
	return b.used()
}

// waitResized waits until no goroutine of the map resizes it, or is going to after a
// grace period. The caller is in no section.
func waitResized[K comparable](t *testing.T, x *index[K]) {
	t.Helper()
	testkit.Eventually(t, 20*time.Second, "the map's goroutines have ended", func() bool { return x.waiting.Load() == 0 && !x.resizing.Load() })
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
