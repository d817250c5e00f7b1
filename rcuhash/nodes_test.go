package rcuhash

import (
	"sync"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/nodes"
	"quiesce/page"
)

// The map of another package, with something in front of each node.

const testHead = 16

// newOwned returns such a map, and its index.
func newOwned(t *testing.T) (*Map[uint64, uint64], nodes.Index) {
	t.Helper()
	m, err := New[uint64, uint64](0, nodes.WithHead(nodes.Head{Least: testHead, Most: 2 * testHead, Of: func(n unsafe.Pointer) int {
		return int(*(*uint64)(unsafe.Add(n, -8)))
	}}).(Option))
	if err != nil {
		t.Fatal(err)
	}
	return m, nodes.Of(m)
}

// put makes a node of a key, with head bytes in front of it, and installs it.
func put(t *testing.T, x nodes.Index, k uint64, head int) unsafe.Pointer {
	t.Helper()
	n := x.New(unsafe.Pointer(&k), 0, head, uint32(gfp.Kernel))
	if n == nil {
		t.Fatal("no memory")
	}
	*(*uint64)(unsafe.Add(n, -8)) = uint64(head)
	*(*uint64)(unsafe.Add(n, x.ValueAt())) = k
	for {
		if old, stored, ok := x.Install(x.Hash(unsafe.Pointer(&k)), unsafe.Pointer(&k), n, false); ok {
			if old != nil || !stored {
				t.Fatalf("key %d was there: %p, stored %v", k, old, stored)
			}
			x.Grow()
			return n
		}
		if !x.MakeRoom(false) {
			t.Fatal("no room")
		}
	}
}

// A split makes room for the keys of its bucket, and for no others: a Set that finds none
// again needs memory.
func TestASplitIsNotRoomForWhoFindsNoneAgain(t *testing.T) {
	a, err := page.New(page.Config{Limit: 4 << 20, ReclaimTimeout: 20 * time.Millisecond, Reserve: space(), Name: "room"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New[uint64, uint64](blockBuckets*perBucket, WithAllocator(a), asNodes)
	if err != nil {
		t.Fatal(err)
	}
	x := nodes.Of(m)
	tab := m.x.table.Load()
	for k := range uint64(200) {
		m.Put(k, k)
	}
	m.x.split(t, tab) // there is memory for the next ones
	tab.resizeAt(false, true)
	var hogs []unsafe.Pointer
	for p := m.x.allocBuckets(1, gfp.Kernel); p != nil; p = m.x.allocBuckets(1, gfp.Kernel) {
		hogs = append(hogs, p)
	}
	if !x.MakeRoom(false) {
		t.Error("the first time a split does")
	}
	if x.MakeRoom(true) {
		t.Error("a split is taken for room")
	}
	for _, p := range hogs {
		m.x.free(p)
	}
	if !x.MakeRoom(true) {
		t.Error("there is memory")
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// Growing is put off until there are more keys, as after a lack of memory. A key whose
// chain has its full length still has room made for it.
func TestChainsOfFullLengthGetRoomThoughGrowingIsPutOff(t *testing.T) {
	for _, again := range []bool{false, true} {
		m, x := newOwned(t)
		for k := range uint64(2000) {
			n := x.New(unsafe.Pointer(&k), 0, testHead, uint32(gfp.Kernel))
			*(*uint64)(unsafe.Add(n, -8)) = testHead
			*(*uint64)(unsafe.Add(n, x.ValueAt())) = k
			for try := 0; ; try++ {
				m.x.table.Load().starved.Store(1 << 40)
				if _, _, ok := x.Install(x.Hash(unsafe.Pointer(&k)), unsafe.Pointer(&k), n, false); ok {
					break
				}
				if try == 1000 || !x.MakeRoom(again) {
					t.Fatalf("no room for key %d, again %v, after %d tries", k, again, try)
				}
			}
		}
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

// hogs are pages that are freed when memory is asked for.
type hogs struct {
	a  *page.Allocator
	mu sync.Mutex
	ps []unsafe.Pointer
}

func (h *hogs) Reclaim(need int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for ; need > 0 && len(h.ps) > 0; need -= page.Size {
		h.a.Free(h.ps[len(h.ps)-1], 0)
		h.ps = h.ps[:len(h.ps)-1]
	}
}

// Where a small map's chains have their full length, and there is memory only for who
// waits for it, an insertion that waits finds room.
func TestRoomInASmallMapIsWaitedFor(t *testing.T) {
	a, err := page.New(page.Config{Limit: 4 << 20, Reserve: space(), Name: "small"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := New[uint64, uint64](0, WithAllocator(a), nodes.WithHead(nodes.Head{Least: testHead, Most: testHead, Of: func(unsafe.Pointer) int { return testHead }}).(Option))
	if err != nil {
		t.Fatal(err)
	}
	x := nodes.Of(m)
	install := func(k uint64, n unsafe.Pointer) bool {
		_, _, ok := x.Install(x.Hash(unsafe.Pointer(&k)), unsafe.Pointer(&k), n, false)
		return ok
	}
	full, h := false, hogs{a: a}
	for k := uint64(0); !full; k++ {
		n := x.New(unsafe.Pointer(&k), 0, testHead, uint32(gfp.Kernel))
		*(*uint64)(unsafe.Add(n, x.ValueAt())) = k
		ok := install(k, n)
		for ; !ok && m.x.table.Load().cursor.Load() < smallBuckets/2; ok = install(k, n) {
			m.x.makeRoom(gfp.NoWait) // its last buckets
		}
		if full = !ok; !full {
			continue
		}
		m.x.free(m.x.allocBuckets(1, gfp.Kernel)) // one is at hand: it is not what lacks
		for p := a.Alloc(0, gfp.NoWait|gfp.NoWarn); p != nil; p = a.Alloc(0, gfp.NoWait|gfp.NoWarn) {
			h.ps = append(h.ps, p)
		}
		pages := len(h.ps)
		a.AddReclaimer(&h)
		for try := 0; !install(k, n); try++ {
			if try == 1 || !x.MakeRoom(true) {
				t.Fatalf("no room for key %d after %d tries, with %d pages to reclaim", k, try, pages)
			}
		}
	}
	a.RemoveReclaimer(&h)
	h.Reclaim(1 << 30)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}

// Entries leave one by one. Those that stay come to the first bucket of their chain,
// and the others, which may keep a slab each, leave as well.
func TestChainsOfAnotherPackagesMapBecomeShorterAsEntriesLeave(t *testing.T) {
	m, x := newOwned(t)
	const keys = 20_000
	at := make([]unsafe.Pointer, keys)
	for k := range at {
		at[k] = put(t, x, uint64(k), testHead<<(k%2))
	}
	further := func() int64 { return m.x.counts.lines.Load() - m.x.counts.paged.Load() }
	before := further()
	bytes := x.NodeBytes()
	for k, n := range at {
		key := uint64(k)
		if k%10 == 0 {
			continue
		}
		if !x.Remove(uint32(x.Hash(unsafe.Pointer(&key))), n) {
			t.Fatalf("key %d is not there", k)
		}
		x.Retire(n)
	}
	for k, n := range at {
		key := uint64(k)
		if got := x.Find(unsafe.Pointer(&key)); (got != nil) != (k%10 == 0) || got != nil && got != n {
			t.Fatalf("key %d is at %p", k, got)
		}
	}
	if got := further(); before < 50 || got > before/20 {
		t.Errorf("%d further buckets in chains for a tenth of the keys, %d for all", got, before)
	}
	if got := x.NodeBytes(); got > bytes/9 {
		t.Errorf("the nodes take %d bytes; all took %d", got, bytes)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
