package rcuhash

import (
	"fmt"
	"math/bits"
	"testing"
)

// shapeOf returns the longest chain of buckets, the most entries that a bucket and
// its chain have, and the sum over all pairs of entries in one bucket.
func shapeOf[K comparable](x *index[K]) (chain, most, pairs int) {
	t := x.table.Load()
	for i := range t.mask + 1 {
		b := t.bucketAt(x.base, i)
		if b == nil || b.loadMeta()&liveBit == 0 {
			continue
		}
		length, entries := 0, 0
		for c := b; c != nil; c = x.next(c) {
			length++
			entries += c.used()
		}
		chain, most = max(chain, length), max(most, entries)
		pairs += entries * (entries - 1) / 2
	}
	return chain, most, pairs
}

// random checks that keys fill the buckets as random ones do, with a huge margin:
// a bucket of 6 entries on average has 40 with a probability of 1e-20.
func random[K comparable](t *testing.T, what string, m *Map[K, struct{}], keys int) {
	t.Helper()
	if m.Len() != keys {
		t.Fatalf("%s: %d keys of %d are in the map: two of them are the same, or one was refused", what, m.Len(), keys)
	}
	live := int(m.x.table.Load().live())
	chain, most, pairs := shapeOf(&m.x)
	if expect := keys * keys / (2 * live); most > 40 || chain > 5 || pairs > 3*expect {
		t.Errorf("%s: a bucket has %d entries, a chain %d buckets, %d pairs share one, about %d are expected; seeds %x",
			what, most, chain, pairs, expect, []uint64{m.x.seeds.xor, m.x.seeds.mul})
	}
}

// chosenKeys are sets of numbers that pile up under weak hashes.
func chosenKeys(n int) map[string][]uint64 {
	sets := map[string][]uint64{}
	add := func(name string, key func(i uint64) uint64) {
		set := make([]uint64, n)
		for i := range set {
			set[i] = key(uint64(i))
		}
		sets[name] = set
	}
	add("sequential", func(i uint64) uint64 { return i })
	add("downwards", func(i uint64) uint64 { return -i })
	for k := 1; k <= 56; k++ {
		if n <= 1<<(64-k) {
			add(fmt.Sprintf("multiples of 2^%d", k), func(i uint64) uint64 { return i << k })
		}
	}
	add("bits reversed", bits.Reverse64)
	add("bytes reversed", bits.ReverseBytes64)
	add("squares", func(i uint64) uint64 { return i * i })
	add("both halves", func(i uint64) uint64 { return i<<32 | i })
	add("both halves, one downwards", func(i uint64) uint64 { return i<<32 | (1<<32 - 1 - i) })
	add("multiples of the golden ratio", func(i uint64) uint64 { return i * 0x9e3779b97f4a7c15 })
	add("pointers", func(i uint64) uint64 { return 0xc000000000 + i*48 })
	add("a grid", func(i uint64) uint64 { return i%64<<40 | i/64 })
	return sets
}

// Keys that pile up under weak hashes don't in a map, whatever its seeds.
func TestChosenKeysDoNotPileUp(t *testing.T) {
	const n = 3000
	for name, set := range chosenKeys(n) {
		m := newMap[uint64, struct{}](t, 0, 0)
		for _, k := range set {
			m.Put(k, struct{}{})
		}
		random(t, name, m, n)
	}
	for name, set := range chosenKeys(256) { // k up to 56
		m := newMap[uint64, struct{}](t, 0, 0)
		for _, k := range set {
			m.Put(k, struct{}{})
		}
		random(t, name, m, 256)
	}
	small := newMap[uint16, struct{}](t, 0, 0)
	for k := range 1 << 16 {
		small.Put(uint16(k), struct{}{})
	}
	random(t, "all of 16 bits", small, 1<<16)
	step := 1
	if testing.Short() {
		step = 5
	}
	for k := step; k <= 20; k += step {
		m := newMap[uint32, struct{}](t, 0, 0)
		for i := range uint32(3000) {
			m.Put(i<<k, struct{}{})
		}
		random(t, fmt.Sprintf("multiples of 2^%d of 32 bits", k), m, 3000)
	}
	text := newMap[string, struct{}](t, 0, 0)
	for i := range n {
		text.Put(fmt.Sprintf("user:%08d:name", i), struct{}{})
	}
	random(t, "text", text, n)
}

// Keys that collide in one map do not in another: knowing one helps nobody.
func TestKeysThatCollideInOneMapDoNotInAnother(t *testing.T) {
	const n = 500
	one := newMap[uint64, struct{}](t, 0, 0)
	// All in one bucket of a table of 4096, by trial.
	var set []uint64
	for k := uint64(0); len(set) < n; k++ {
		if one.x.hash(&k)&0xfff == 1 {
			set = append(set, k)
		}
	}
	same := 0
	for range 3 {
		other := newMap[uint64, struct{}](t, 0, 0)
		for _, k := range set {
			other.Put(k, struct{}{})
			if one.x.hash(&k) == other.x.hash(&k) {
				same++
			}
		}
		random(t, "keys that collide in another map", other, n)
	}
	if same > 0 {
		t.Errorf("%d hashes are the same in two maps", same)
	}
	text := newMap[string, struct{}](t, 0, 0)
	other := newMap[string, struct{}](t, 0, 0)
	a := "one"
	if text.x.hash(&a) == other.x.hash(&a) {
		t.Error("a string has the same hash in two maps")
	}
}
