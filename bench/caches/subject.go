package main

import (
	"github.com/Yiling-J/theine-go"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/arc/v2"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/maypok86/otter/v2"

	"quiesce/internal/tinylfu"
)

// A subject is a cache for keys that are numbers; of a value it has the size.
type subject interface {
	// request looks a key up, and takes it in if it is not there.
	request(key, size uint32) (hit bool)
	close()
}

// A peer makes subjects. keys are how many the trace has; capacity is in
// entries, or in bytes if the sizes differ.
type peer struct {
	name  string
	head  string // its column's
	sized bool   // can it count bytes
	fixed bool   // every run has the same result
	make  func(capacity, keys int, sized bool, seed uint64) (subject, error)
}

const (
	ours        = "tinylfu"
	otterBound  = "otter"
	otterAsIs   = "otter*"
	countersFor = 10 // ristretto's advice: counters for each entry
)

var peers = []peer{
	{ours, "ours", true, false, newOurs},
	{otterBound, "otter", true, false, func(c, _ int, sized bool, _ uint64) (subject, error) { return newOtter(c, sized, true) }},
	{otterAsIs, "otter*", true, false, func(c, _ int, sized bool, _ uint64) (subject, error) { return newOtter(c, sized, false) }},
	{"ristretto", "ristr.", false, false, newRistretto},
	{"theine", "theine", false, false, newTheine},
	{"lru", "lru", false, true, func(c, _ int, _ bool, _ uint64) (subject, error) {
		l, err := lru.New[uint32, uint32](c)
		return got(l), err
	}},
	{"2q", "2q", false, true, func(c, _ int, _ bool, _ uint64) (subject, error) {
		l, err := lru.New2Q[uint32, uint32](c)
		return two(l), err
	}},
	{"arc", "arc", false, true, func(c, _ int, _ bool, _ uint64) (subject, error) {
		l, err := arc.NewARC[uint32, uint32](c)
		return two(l), err
	}},
}

// policy is package tinylfu with keys for entries.
type policy struct {
	links links
	seed  uint64
	p     *tinylfu.Policy[links]
}

type links []tinylfu.Links

func (l links) Links(ref uint32) *tinylfu.Links { return &l[ref] }

func newOurs(capacity, keys int, _ bool, seed uint64) (subject, error) {
	l := make(links, keys+1)
	return &policy{l, seed, tinylfu.New(l, uint64(capacity), seed, new(tinylfu.Chunk))}, nil
}

func (c *policy) request(key, size uint32) bool {
	ref := key + 1
	if c.links[ref].Held() {
		c.p.Hit(ref)
		return true
	}
	c.p.Enter(ref, uint32(mix(uint64(key)+c.seed<<32)), size)
	for _, ok := c.p.Evict(); ok; _, ok = c.p.Evict() {
	}
	if c.p.Need() > 0 {
		c.p.Give(new(tinylfu.Chunk))
	}
	return false
}

func (c *policy) close() {}

// mix is a hash of a number.
func mix(h uint64) uint64 {
	h *= 0x9e3779b97f4a7c15
	h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
	return h ^ h>>32
}

// funcs is a subject of two functions.
type funcs struct {
	get func(key uint32) bool
	set func(key, size uint32)
	end func()
}

func (f funcs) request(key, size uint32) bool {
	if f.get(key) {
		return true
	}
	f.set(key, size)
	return false
}

func (f funcs) close() {
	if f.end != nil {
		f.end()
	}
}

// newOtter makes one that is held to its capacity: it does its maintenance at
// once, in the caller; or one as it comes, which does it in a goroutine, and has
// some hundred entries too many until then.
func newOtter(capacity int, sized, bound bool) (subject, error) {
	o := &otter.Options[uint32, uint32]{MaximumSize: capacity}
	if sized {
		o.MaximumSize, o.MaximumWeight = 0, uint64(capacity)
		o.Weigher = func(_, size uint32) uint32 { return size }
	}
	if bound {
		o.Executor = func(fn func()) { fn() }
	}
	c, err := otter.New(o)
	if err != nil {
		return nil, err
	}
	return funcs{
		get: func(k uint32) bool { _, ok := c.GetIfPresent(k); return ok },
		set: func(k, size uint32) { c.Set(k, size) },
		end: func() { c.StopAllGoroutines() },
	}, nil
}

func newRistretto(capacity, _ int, _ bool, _ uint64) (subject, error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint32, uint32]{
		NumCounters: int64(countersFor * capacity), MaxCost: int64(capacity), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, err
	}
	return funcs{
		get: func(k uint32) bool { _, ok := c.Get(k); return ok },
		// What is set is there for the next request, as in the others.
		set: func(k, size uint32) { c.Set(k, size, 1); c.Wait() },
		end: c.Close,
	}, nil
}

func newTheine(capacity, _ int, _ bool, _ uint64) (subject, error) {
	c, err := theine.NewBuilder[uint32, uint32](int64(capacity)).Build()
	if err != nil {
		return nil, err
	}
	return funcs{
		get: func(k uint32) bool { _, ok := c.Get(k); return ok },
		set: func(k, size uint32) { c.Set(k, size, 1) },
		end: c.Close,
	}, nil
}

func got(l *lru.Cache[uint32, uint32]) subject {
	return funcs{
		get: func(k uint32) bool { _, ok := l.Get(k); return ok },
		set: func(k, size uint32) { l.Add(k, size) },
	}
}

func two(l interface {
	Get(uint32) (uint32, bool)
	Add(uint32, uint32)
}) subject {
	return funcs{
		get: func(k uint32) bool { _, ok := l.Get(k); return ok },
		set: func(k, size uint32) { l.Add(k, size) },
	}
}
