package cache

import (
	"fmt"
	"testing"
	"time"

	"quiesce/internal/pages"
	"quiesce/slab"
)

// fillBytes sets n entries of 21 and 100 bytes.
func fillBytes(t *testing.T, c *Bytes[string], n int, ttl time.Duration) {
	t.Helper()
	v := make([]byte, 100)
	for i := range n {
		if err := c.SetTTL(fmt.Sprintf("user:%016x", uint64(i)*0x9e3779b97f4a7c15), v, ttl); err != nil {
			t.Fatal(err)
		}
	}
}

func newPlainBytes(t *testing.T, maxBytes int64) *Bytes[string] {
	t.Helper()
	c, err := NewBytes(Options[string, []byte]{MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// An entry of 121 bytes takes 163, of which MaxBytes counts all: its node, the
// table, the policy's sketch, the metadata of pages, and what is free in between.
func TestAnEntryTakes42BytesMoreThanItsKeyAndValue(t *testing.T) {
	if raceOrPoison {
		t.Skip("nodes are larger")
	}
	const n = 150_000
	for ttl, most := range map[time.Duration]int64{0: 166, time.Hour: 183} { // some of it is for any number of entries
		c := newPlainBytes(t, 64<<20)
		fillBytes(t, c, n, ttl)
		if got := c.Len(); got != n {
			t.Fatalf("%d entries of %d", got, n)
		}
		c.x.index.Barrier()
		c.x.pages.Shrink()
		if b := c.Bytes() / n; b > most {
			t.Errorf("TTL %v: an entry takes %d bytes, want %d at most", ttl, b, most)
		}
	}
}

func TestTheSketchIsCountedAndFollowsTheEntries(t *testing.T) {
	c := newPlainBytes(t, 16<<20)
	before := c.x.sketchBytes()
	fillBytes(t, c, 40_000, 0)
	full := c.x.sketchBytes()
	if n := int64(c.Len()); full < n*2 || full > n*4+8192 || before != 4096 {
		t.Errorf("the sketch has %d bytes without entries, %d with %d", before, full, n)
	}
	if in := c.x.pages.Stats().InUse; in < full {
		t.Errorf("%d bytes of pages are in use; the sketch alone has %d", in, full)
	}
	c.Clear()
	if got := c.x.sketchBytes(); got > full/4 {
		t.Errorf("the sketch has %d bytes after Clear, %d before", got, full)
	}
	fillBytes(t, c, 1000, 0)
	checkPolicy(t, c.x)
}

func TestTheSketchIsGivenBackWhileEntriesBecomeLargerAndFewer(t *testing.T) {
	c := newPlainBytes(t, 8<<20)
	fillBytes(t, c, 60_000, 0)
	small := c.x.sketchBytes()
	v := make([]byte, 8000)
	for i := range 6000 { // the small ones have left after 3,600, or a few hundred more
		if err := c.Set(fmt.Sprint("large", i), v); err != nil {
			t.Fatal(err)
		}
	}
	if got := c.x.sketchBytes(); got > small/4 {
		t.Errorf("the sketch has %d bytes for %d entries; it had %d", got, c.Len(), small)
	}
	checkPolicy(t, c.x)
}

// Entries that leave thin the slabs of the others out. These are emptied, whether
// their entries have deadlines or not.
func TestSparseSlabsAreEmptiedWhereEntriesHaveDeadlinesAndWhereNot(t *testing.T) {
	if raceOrPoison {
		t.Skip("sparse slabs are not emptied")
	}
	const n = 60_000
	for _, ttl := range []time.Duration{0, time.Hour} {
		c := newPlainBytes(t, 32<<20)
		fillBytes(t, c, n, ttl)
		for i := range n {
			if i%10 != 0 {
				c.Delete(fmt.Sprintf("user:%016x", uint64(i)*0x9e3779b97f4a7c15))
			}
		}
		c.x.index.Barrier()
		left := c.Len()
		c.x.evictSparse(1 << 20)
		if got := c.Len(); got >= left || c.Stats().Evictions != uint64(left-got) {
			t.Errorf("TTL %v: %d of %d entries are left after slabs were emptied, %+v", ttl, got, left, c.Stats())
		}
		checkPolicy(t, c.x)
	}
}

// The buckets of a table that was large don't keep memory from larger entries.
func TestLargerEntriesGetTheMemoryOfSmallOnes(t *testing.T) {
	if raceOrPoison {
		t.Skip("sparse slabs are not emptied")
	}
	c := newPlainBytes(t, 8<<20)
	for i := range 150_000 {
		if err := c.Set(fmt.Sprint("small", i), make([]byte, i%30)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 5000 {
		if err := c.Set(fmt.Sprint("large", i%2000), make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
	}
	payload := 0
	for k, v := range c.All() {
		payload += len(k) + len(v)
	}
	if payload < 8<<20*6/10 {
		sparse := map[uintptr]int{}
		pages.WalkSlabs(c.x.index.Heap(), 0, pages.CoreOf(c.x.pages).Opened(), func(s pages.Slab) {
			if s.Out < s.Objects/2 {
				sparse[s.Pitch]++
			}
		})
		t.Errorf("keys and values are %d bytes of 8 MiB, with %d entries; sparse slabs by size of objects: %v", payload, c.Len(), sparse)
	}
	checkPolicy(t, c.x)
}

func TestTheTableFollowsTheEntries(t *testing.T) {
	c := newCache(t, Options[int, int]{MaxBytes: 16 << 20})
	for i := range 100_000 {
		if err := c.Set(i, i); err != nil {
			t.Fatal(err)
		}
	}
	n := c.Len()
	table := func() int64 {
		bytes := c.x.index.Memory()
		for _, s := range c.x.index.Heap().(*slab.Heap).Stats() {
			bytes -= s.Bytes
		}
		return bytes
	}
	full := table()
	for i := range 100_000 {
		if i%100 != 0 {
			c.Delete(i)
		}
	}
	c.x.index.Barrier()
	c.x.index.Grow()
	if got := table(); got > full/8 {
		t.Errorf("the table has %d bytes for %d entries; it had %d for %d", got, c.Len(), full, n)
	}
}
