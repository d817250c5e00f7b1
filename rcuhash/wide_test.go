//go:build !race && !poison && !asan

package rcuhash

import (
	"testing"

	"quiesce/gfp"
	"quiesce/rcu"
)

// wideCrowd is a map with wide buckets, and keys of one bucket, half of which move when
// it is split.
type wideCrowd struct {
	*Map[uint64, uint64]
	t    *table
	at   uint64 // the bucket
	keys []uint64
	next uint64 // no key of the bucket is from here on
}

func newWideCrowd(t *testing.T, keys int) *wideCrowd {
	t.Helper()
	c := &wideCrowd{Map: newMap[uint64, uint64](t, 0, 0)}
	x := &c.x
	for k := uint64(1 << 40); x.table.Load().isSmall(); k++ { // which leaves the small table
		c.Put(k, k)
	}
	c.Clear()
	c.Barrier()
	settle()
	c.t = x.table.Load()
	c.t.resizeAt(false, false)
	c.t.growAt, c.t.shrinkAt = 1<<40, 0 // nobody but the test splits and merges
	c.at = uint64(c.t.cursor.Load())
	for len(c.keys) < keys {
		k := c.key(t, len(c.keys)%2 == 0)
		c.keys = append(c.keys, k)
		if !c.Put(k, valueOfKey(k)) {
			t.Fatal("no memory")
		}
	}
	return c
}

func valueOfKey(k uint64) uint64 { return k*3 + 1 }

// key returns another key of the bucket.
func (c *wideCrowd) key(t *testing.T, mover bool) uint64 {
	t.Helper()
	for {
		k := c.next
		c.next++
		if h := c.x.hash(&k); h&(c.t.n-1) == c.at && (h&c.t.n != 0) == mover {
			return k
		}
	}
}

func (c *wideCrowd) first() *bucket { return c.t.bucketAt(c.x.base, c.at) }

func (c *wideCrowd) split(t *testing.T) {
	t.Helper()
	if !c.x.splitNext(c.t, gfp.NoWait) {
		t.Fatal("no split")
	}
}

// settle waits until all dead slots can be used again. One of some 60 has the cookie of
// a later grace period than the next: see buryLocked.
func settle() {
	for range 6 {
		rcu.Synchronize()
	}
}

// nodes returns how many entries are in the further buckets of the chain.
func (c *wideCrowd) nodes() (n int) {
	for b := c.x.nextWide(c.first()); b != nil; b = c.x.next(b) {
		n += b.used()
	}
	return n
}

// has checks the values of all keys.
func (c *wideCrowd) has(t *testing.T) {
	t.Helper()
	for _, k := range c.keys {
		if v, ok := get(c.Map, k); !ok || v != valueOfKey(k) {
			t.Errorf("key %d: %d, %v", k, v, ok)
		}
	}
	checkIndex(t, &c.x)
}

// (H-C) A value stays where it is, whatever comes after it, until the section has ended.
// Then its slot is used again.
func TestHC_ASlotIsUsedAgainAfterAGracePeriod(t *testing.T) {
	c := newWideCrowd(t, 1)
	k := c.keys[0]
	rcu.Read(func(g rcu.Guard) {
		var seen []*uint64
		for i := range uint64(100) {
			c.PutFlags(k, i, gfp.NoWait)
			v := c.Get(g, k)
			for j, old := range seen {
				if *old != uint64(j) || old == v {
					t.Fatalf("after %d Puts value %d is %d, at the new one's place: %v", i+1, j, *old, old == v)
				}
			}
			seen = append(seen, v)
		}
	})
	lines := c.x.counts.lines.Load()
	settle()
	// It has come to the first bucket, and stays there as long as grace periods end.
	for i := range uint64(100) {
		c.Put(k, i)
		if c.nodes() != 0 && i > 0 {
			t.Fatalf("Put %d finds no slot", i)
		}
		settle()
	}
	if now := c.x.counts.lines.Load(); now >= lines {
		t.Errorf("the chain's buckets are still there: %d lines, had %d", now, lines)
	}
	c.Delete(k)
	checkIndex(t, &c.x)
}

// A key that is put all the time in one section costs nodes, but no bucket each.
func TestAChainIsBoundedWhileSlotsAreDead(t *testing.T) {
	c := newWideCrowd(t, 3)
	rcu.Read(func(rcu.Guard) {
		for i := range 10_000 {
			k := c.keys[i%3]
			if !c.PutFlags(k, valueOfKey(k), gfp.NoWait) {
				t.Fatal("refused")
			}
			if i%5 == 0 && (!c.Delete(k) || !c.PutFlags(k, valueOfKey(k), gfp.NoWait)) {
				t.Fatal("refused")
			}
		}
		if n := c.nodes(); n != 3 {
			t.Errorf("%d of 3 keys have nodes", n)
		}
	})
	c.has(t)
}

// Entries that found no slot come to the first bucket as slots become clean.
func TestEntriesComeToTheFirstBucket(t *testing.T) {
	c := newWideCrowd(t, 12)
	if n := c.nodes(); n != 12-wideSlots {
		t.Fatalf("%d nodes", n)
	}
	for range 8 {
		c.Delete(c.keys[0])
		c.keys = c.keys[1:]
		settle()
	}
	for _, k := range c.keys {
		c.Put(k, valueOfKey(k))
		settle()
	}
	if n := c.nodes(); n != 0 || c.x.nextWide(c.first()) != nil {
		t.Errorf("%d nodes are left", n)
	}
	c.has(t)
}

// A split moves what is in slots to slots, and leaves nodes where it finds none. Neither
// it nor a merge uses a dead slot.
func TestSplitsAndMergesOfAWideBucket(t *testing.T) {
	for _, keys := range []int{1, 2, 7, 8, 14, 15, 30, 60} {
		c := newWideCrowd(t, keys)
		c.split(t)
		c.has(t)
		if keys != wideSlots {
			continue
		}
		for range 3 {
			settle()
			g := rcu.ReadLock()
			merged := c.x.mergeLast(c.t)
			split := c.x.splitNext(c.t, gfp.NoWait)
			g.Unlock()
			if !merged || split {
				t.Fatalf("merged %v; split, while the child's slots are dead: %v", merged, split)
			}
			c.has(t)
			settle()
			g = rcu.ReadLock()
			split = c.x.splitNext(c.t, gfp.NoWait)
			merged = c.x.mergeLast(c.t)
			g.Unlock()
			if !split || merged {
				t.Fatalf("split %v; merged, while the parent's slots are dead: %v", split, merged)
			}
			c.has(t)
		}
	}
}

// A map whose last removals wait for a grace period before they merge buckets shrinks
// when that has ended.
func TestAMapShrinksAfterTheGracePeriodThatItWaitsFor(t *testing.T) {
	m := newMap[uint64, uint64](t, 0, 0)
	const keys = 5000
	for k := range uint64(keys) {
		m.Put(k, k)
	}
	waitResized(t, &m.x)
	settle()
	rcu.Read(func(rcu.Guard) {
		for k := range uint64(keys) {
			m.PutFlags(k, k, gfp.NoWait) // so that no slot is clean
		}
		for k := range uint64(keys) {
			m.Delete(k)
		}
		if m.x.table.Load().live() < 2*runBuckets {
			t.Fatal("nothing waits")
		}
	})
	waitResized(t, &m.x)
	if live := m.x.table.Load().live(); live > runBuckets {
		t.Errorf("%d live buckets are left", live)
	}
	checkIndex(t, &m.x)
}

// CompareAndDelete knows an entry that has moved, and one that was replaced by an equal
// value.
func TestCompareAndDeleteOfAnEntryThatMoved(t *testing.T) {
	c := newWideCrowd(t, 2)
	moved, stays := c.keys[0], c.keys[1]
	rcu.Read(func(g rcu.Guard) {
		a, b := c.Get(g, moved), c.Get(g, stays)
		c.PutFlags(stays, *b, gfp.NoWait)
		c.split(t)
		if c.Get(g, moved) == a {
			t.Fatal("the entry has not moved")
		}
		if c.CompareAndDelete(g, stays, b) {
			t.Fatal("deleted an equal value, which is not the one it was told")
		}
		if !c.CompareAndDelete(g, moved, a) {
			t.Error("did not delete an entry that has moved")
		}
		if c.CompareAndDelete(g, moved, a) || c.Get(g, moved) != nil {
			t.Error("deleted twice")
		}
		b = c.Get(g, stays)
		c.Clear()
		c.PutFlags(stays, *b, gfp.NoWait)
		if c.CompareAndDelete(g, stays, b) {
			t.Error("deleted a value that was put after Clear")
		}
	})
	c.keys = c.keys[1:]
	c.has(t)
}

// (H-B) A look-up that has loaded the tags compares keys later, and must not take the
// cookie of a slot that has died since for the key that it looks for.
func TestHB_ACookieHasAnotherTagThanTheKeyBeforeIt(t *testing.T) {
	m := newMap[uint64, uint64](t, 1000, 0)
	x := &m.x
	tags := map[uint64]bool{}
	for k := uint64(0); len(tags) < 128; k++ {
		h := x.hash(&k)
		tag := tagOf(h)
		if tags[tag] {
			continue
		}
		tags[tag] = true
		m.Put(k, k)
		l := x.lockFor(h)
		p := x.findWideLocked(l.b, h, k)
		x.unlock(l)
		m.Delete(k)
		if word := *keyWord(p.e); tagOf(x.seeds.mix(word))^tag <= 1 {
			t.Fatalf("a slot that had tag %#x has cookie %d, of tag %#x", tag, word, tagOf(x.seeds.mix(word)))
		}
	}
}

// The next bucket's place is in what meta has left.
func TestTheNextBucketIsInMeta(t *testing.T) {
	c := newWideCrowd(t, 1)
	b, x := c.first(), &c.x
	before := b.loadMeta()
	for _, n := range []uint64{64, 1 << 12, 1<<30 - 64, 1 << 30, 1<<30 + 64, 3 << 30, 1<<36 - 64} {
		next := (*bucket)(at(x.base, ref(n/16)))
		x.linkLocked(b, next)
		if got := x.nextWide(b); got != next || (b.loadMeta()^before)&^wideOver != 0 {
			t.Errorf("%#x: %p, want %p; meta %#x, before %#x", n, got, next, b.loadMeta(), before)
		}
	}
	x.linkLocked(b, nil)
	if b.loadMeta() != before || x.nextWide(b) != nil {
		t.Error("a link that was taken away is there")
	}
}

// Maps whose keys or values do not fit have no wide buckets; those of package cache have
// none either.
func TestWhichMapsAreWide(t *testing.T) {
	for what, wide := range map[string][2]bool{
		"int to int":       {newMap[int, int](t, 0, 0).x.isWide(), true},
		"uint64 to struct": {newMap[uint64, struct{ a, b int32 }](t, 0, 0).x.isWide(), true},
		"int to nothing":   {newMap[int, struct{}](t, 0, 0).x.isWide(), true},
		"int to byte":      {newMap[int, byte](t, 0, 0).x.isWide(), true},
		"int32 to int":     {newMap[int32, int](t, 0, 0).x.isWide(), false},
		"int to 9 bytes":   {newMap[int, [9]byte](t, 0, 0).x.isWide(), false},
		"string to int":    {newMap[string, int](t, 0, 0).x.isWide(), false},
		"float64 to int":   {newMap[float64, int](t, 0, 0).x.isWide(), false},
		"int to bytes":     {newBytes[int](t, 0, 0).x.isWide(), false},
	} {
		if wide[0] != wide[1] {
			t.Errorf("%s: %v", what, wide[0])
		}
	}
}
