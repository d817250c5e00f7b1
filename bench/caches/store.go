package main

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
)

// store is a whole cache, from strings to bytes. Its methods may be called by many
// goroutines at a time.
type store interface {
	// reader returns a goroutine's way to look up: it has the value in its hands as a
	// caller of that cache would, and checks it.
	reader() func(p *probe) answer
	set(p *probe, v []byte)
	close() error
}

// viewer is a store that shows values in place.
type viewer interface {
	viewer() func(p *probe) answer
}

// holder is a store of whose values a reader may keep hold.
type holder interface {
	// hold keeps hold of a value until the function that it returns is called.
	hold(p *probe) (release func())
}

// settler is a store in which what was set is there some time later.
type settler interface {
	settle() // waits for that
}

// answer is what a look-up found.
type answer uint8

const (
	missed answer = iota
	hit
	wrong // another key's value
)

// probe is a key, as text and as bytes.
type probe struct {
	n uint64 // its number, with which its value begins
	s string
	b []byte
}

const (
	keySize   = 5 + 16
	valueSize = 100 // where sizes don't differ
	leastSize = 8
)

// probeOf returns a key, in memory of its own.
func probeOf(n int) probe {
	var num [8]byte
	binary.BigEndian.PutUint64(num[:], mix(uint64(n)))
	b := hex.AppendEncode(append(make([]byte, 0, keySize), "user:"...), num[:])
	return probe{uint64(n), string(b), b}
}

// stamp makes v the value of a key.
func stamp(v []byte, p *probe) []byte {
	binary.LittleEndian.PutUint64(v, p.n)
	return v
}

// check says what a look-up that found v has found.
func check(v []byte, p *probe) answer {
	if len(v) < leastSize || binary.LittleEndian.Uint64(v) != p.n {
		return wrong
	}
	return hit
}

// plan is what a store is made for.
type plan struct {
	bytes   int // of memory, all in all
	entries int // about as many have room in that
	mean    int // bytes of a key and its value, on average
	uneven  bool
}

// limit is the bytes to tell a cache that does not count some bytes of each entry,
// so that all in all it takes as much as others.
func (p plan) limit(uncounted int) int { return p.bytes / (p.mean + uncounted) * p.mean }

// brand is a cache, and how to make it.
type brand struct {
	id, name string
	offHeap  bool // the collector does not see its values
	ours     bool
	views    bool
	fixed    bool // values of valueSize alone
	make     func(p plan) (store, error)
}

// brands are the caches, in the order of the rows; the first one's ratio is 1.00.
var brands = []brand{
	{id: "bytes", name: "cache.Bytes", offHeap: true, ours: true, views: true, make: newOurBytes},
	{id: "cache", name: "cache.Cache", offHeap: true, ours: true, views: true, fixed: true, make: newOurCache},
	{id: "fastcache", name: "fastcache", offHeap: true, make: newFastcache},
	{id: "bigcache", name: "bigcache v3", offHeap: true, make: newBigcache},
	{id: "freecache", name: "freecache", offHeap: true, make: newFreecache},
	{id: "otter", name: "otter v2", make: newOtterStore},
	{id: "ristretto", name: "ristretto v2", make: newRistrettoStore},
	{id: "theine", name: "theine", make: newTheineStore},
	{id: "lru", name: "golang-lru v2", make: newLRUStore},
	{id: "freelru", name: "go-freelru", make: newFreeLRUStore},
	{id: "phuslu", name: "phuslu/lru", make: newPhusluStore},
}

// none is the same program without a cache.
var none = brand{id: "none", name: "no cache", make: func(plan) (store, error) { return nothing{}, nil }}

type nothing struct{}

func (nothing) reader() func(*probe) answer { return func(*probe) answer { return missed } }
func (nothing) set(*probe, []byte)          {}
func (nothing) close() error                { return nil }

func brandByID(id string) *brand {
	for i := range brands {
		if brands[i].id == id {
			return &brands[i]
		}
	}
	if id == none.id {
		return &none
	}
	return nil
}

// probesFor returns n keys with numbers from 0 on, in an order without a pattern.
func probesFor(n int) []probe {
	ps := make([]probe, n)
	for i, j := range rand.New(rand.NewPCG(1, 1)).Perm(n) {
		ps[i] = probeOf(j)
	}
	return ps
}
