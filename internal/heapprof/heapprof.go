// Package heapprof keeps what package slab notes for the profile of the memory
// outside the Go heap: which call sites took how much, and which hold it now.
//
// Objects are allocated and freed on paths that must not count anything, so no
// object is followed. Two things are sampled, both on slow paths.
//
// # In use: slabs
//
// A slab is a block of pages, and both its birth and its death are slow paths. One is
// sampled with probability 1-exp(-bytes/rate). Of a sampled slab each take is
// noted: how many objects left it for whose call. When the profile is read, the
// slab's own counter says how many of its objects are out. These are attributed to
// the sites in proportion to their shares, and weighted by 1/probability:
//
//	share    at a take of n, with u objects out before: all shares × u/(their sum), then + n
//	in use   Σ over sampled slabs of (1/probability) × objects out × share/(sum of shares)
//
// The scaling says that objects which came back were anybody's: of which site they
// were is not known, since they come back by the sheaf. So a site that freed all
// keeps a share in a slab only until others took its place. A slab that was freed
// has no samples: its number is no longer in its metadata.
//
// # In total
//
// What calls took out of sampled slabs, weighted in the same way, is their total. What
// comes back for reuse in whole sheaves does not pass a slab. Each P has a gap, in
// bytes, that is exponentially distributed around four times the rate, and such a sheaf's
// bytes are taken off it; the call in which it is used up gets a mean gap's worth for
// each time that it is. An object that is freed and allocated again on its P, without having
// left it, is not counted again.
//
// # Live objects
//
// The slab's counter includes what is cached or waits for readers. The cache knows
// the number of its live objects, from counters that are exact at rest; the estimates
// are scaled to it. So the sum over a cache's sites is exact, and it is the
// distribution that is estimated. A cache of which no slab was sampled has one line,
// without a site.
//
// # What it can't tell
//
// What is cached, a few MiB of a cache at most, is attributed as if it were in use.
//
// A call is noted when it finds its P's sheaf empty, and stands for the whole sheaf.
// Calls that find one in turn are noted as often as they take. But if one site
// takes many objects and frees them again, over and over, and another one of the same
// cache keeps a few each time, on the same P, then it is always the first that
// reaches the sheaf's end, and it is blamed for what the second keeps. To tell them
// apart the objects would have to be followed, at a cost to each Free. The cache
// that is named is the right one even then, and so are its figures.
//
// # Rate 1
//
// At rate 1 every allocation is noted, by its object: the last site to get an object has
// it, as long as it is out of its slab. There are no samples of slabs, so what is not
// known counts for nobody. Package slab sends each operation to its slow path for that.
// What was sampled before stays, less the objects that are known. Left are an object that
// is cached, which is still its last site's, and allocations that may not take the
// profile's lock, whose objects are still those of the sites that had them before.
package heapprof

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
)

// DefaultRate is how many bytes there are to a sample.
const DefaultRate = 512 << 10

// reuse is how many times rarer samples of what is reused are, which costs less than
// what is taken out of slabs: a stack costs some 12,000 instructions.
const reuse = 4

const (
	depth     = 32      // of a stack
	sitesMost = 1 << 16 // stacks that are told apart
)

var rate atomic.Int64

// SetRate sets how many bytes there are to a sample, and returns what it was; 0
// turns sampling off.
func SetRate(bytes int64) (was int64) { return rate.Swap(max(bytes, 0)) }

// Rate returns it.
func Rate() int64 { return rate.Load() }

// Exact reports whether the rate is 1: every allocation is noted.
//
// Context: any.
func Exact() bool { return rate.Load() == 1 }

// NextGap returns how many bytes to go to the next sample. Without a rate it is what
// looks for one again.
//
// Context: any.
func NextGap() int64 {
	r := rate.Load()
	if r == 0 {
		r = DefaultRate
	}
	return max(int64(rand.ExpFloat64()*float64(r)*reuse), 1)
}

// Site is a call stack, innermost first.
type Site struct{ PCs []uintptr }

var sites struct {
	sync.Mutex
	of map[[depth]uintptr]*Site
}

// Here returns the caller's stack, without so many frames of it. When there are too
// many different stacks it returns an empty one.
//
// Context: task; not pinned.
func Here(skip int) *Site {
	var pcs [depth]uintptr
	n := runtime.Callers(skip+2, pcs[:])
	sites.Lock()
	defer sites.Unlock()
	s := sites.of[pcs]
	if s == nil {
		if len(sites.of) >= sitesMost {
			pcs, n = [depth]uintptr{}, 0
			if s = sites.of[pcs]; s != nil {
				return s
			}
		}
		if sites.of == nil {
			sites.of = make(map[[depth]uintptr]*Site)
		}
		s = &Site{append([]uintptr(nil), pcs[:n]...)}
		sites.of[pcs] = s
	}
	return s
}

// Profile is what was noted of a cache.
type Profile struct {
	last atomic.Uint32 // number of the last slab that was sampled

	mu     sync.Mutex
	totals map[*Site]float64 // bytes
	slabs  map[uint32]*slab
	known  map[uint32]*Site // by offset: who allocated an object last, at rate 1
	room   int              // slabs that may be added before dead ones are looked for
}

// slab is a sampled one.
type slab struct {
	head   uint32
	weight float64
	shares map[*Site]float64 // objects
}

// Total notes that a call of a site used a gap up so many times.
//
// Context: task; not pinned, as for all methods.
func (p *Profile) Total(s *Site, samples int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.totalLocked(s, float64(samples)*float64(rate.Load())*reuse)
}

func (p *Profile) totalLocked(s *Site, bytes float64) {
	if p.totals == nil {
		p.totals = make(map[*Site]float64)
	}
	p.totals[s] += bytes
}

// Sample decides about a slab that will be made of a block of pages, which begins at
// page head, and returns its number; 0: it is not sampled.
func (p *Profile) Sample(head uint32, bytes int64) (id uint32) {
	r := rate.Load()
	if r == 0 {
		return 0
	}
	// chance is below part, which is cheaper.
	part, draw := float64(bytes)/float64(r), rand.Float64()
	if draw >= part {
		return 0
	}
	chance := -math.Expm1(-part)
	if draw >= chance {
		return 0
	}
	for id = p.last.Add(1); id == 0; {
		id = p.last.Add(1)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.slabs == nil {
		p.slabs = make(map[uint32]*slab)
	}
	p.slabs[id] = &slab{head: head, weight: 1 / chance, shares: make(map[*Site]float64)}
	return id
}

// Take says that a call took objects out of a sampled slab, of which some were out
// already.
type Take struct{ ID, Out, N uint32 }

// Takes are those of one hold of the slabs' lock; of more, the rest are lost.
type Takes struct {
	n    int
	list [8]Take
}

// Took adds one. Context: any.
func (t *Takes) Took(e Take) {
	if t != nil && t.n < len(t.list) {
		t.list[t.n] = e
		t.n++
	}
}

// Copy returns a copy of them.
func (t *Takes) Copy() *Takes { c := *t; return &c }

// Any reports whether there are any.
func (t *Takes) Any() bool { return t.n > 0 }

// Note gives a site its share in the slabs that its call took objects of a size from.
func (p *Profile) Note(s *Site, t *Takes, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range t.list[:t.n] {
		sl := p.slabs[e.ID]
		if sl == nil {
			continue
		}
		p.totalLocked(s, sl.weight*float64(e.N)*float64(size))
		sum := 0.0
		for _, n := range sl.shares {
			sum += n
		}
		if out := float64(e.Out); sum > out {
			for at := range sl.shares {
				if sl.shares[at] *= out / sum; sl.shares[at] < 1e-3 {
					delete(sl.shares, at)
				}
			}
		}
		sl.shares[s] += float64(e.N)
	}
}

// Object notes an allocation of an object of that size at an offset.
func (p *Profile) Object(s *Site, off uint32, size int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil {
		p.known = make(map[uint32]*Site)
	}
	p.known[off] = s
	p.totalLocked(s, float64(size))
}

// Sweep forgets slabs that are no more, if many were added since it last did. out
// returns how many objects of a slab are out, or false if it is gone.
func (p *Profile) Sweep(out func(head, id uint32) (int, bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.slabs) > p.room {
		p.sweepLocked(out)
		p.room = 2*len(p.slabs) + 16
	}
}

func (p *Profile) sweepLocked(out func(head, id uint32) (int, bool)) {
	for id, s := range p.slabs {
		if _, ok := out(s.head, id); !ok {
			delete(p.slabs, id)
		}
	}
}

// Use is a site's part of a cache; a nil Site is what nobody is known for.
type Use struct {
	Site       *Site
	InUse      int64 // objects
	TotalBytes int64
}

// Read returns the parts of all sites. Those in use add up to live. out is that of
// Sweep; object returns the slab of an object that is out of it, or false.
func (p *Profile) Read(live int64, out func(head, id uint32) (int, bool), object func(off uint32) (uint32, bool)) []Use {
	p.mu.Lock()
	defer p.mu.Unlock()
	uses := make(map[*Site]*Use)
	at := func(s *Site) *Use {
		u := uses[s]
		if u == nil {
			u = &Use{Site: s}
			uses[s] = u
		}
		return u
	}
	for s, n := range p.totals {
		at(s).TotalBytes = int64(n)
	}
	estimates := make(map[*Site]float64)
	sum := 0.0
	known := make(map[uint32]int) // by slab
	for off, s := range p.known {
		head, ok := object(off)
		if !ok {
			delete(p.known, off)
			continue
		}
		estimates[s]++
		sum++
		known[head]++
	}
	for id, sl := range p.slabs {
		n, ok := out(sl.head, id)
		n = max(n-known[sl.head], 0)
		if !ok {
			delete(p.slabs, id)
			continue
		}
		shares := 0.0
		for _, k := range sl.shares {
			shares += k
		}
		for s, k := range sl.shares {
			estimates[s] += sl.weight * float64(n) * k / shares
		}
		if shares > 0 {
			sum += sl.weight * float64(n)
		}
	}
	left := live
	var largest *Use
	for s, n := range estimates {
		u := at(s)
		if sum > 0 {
			u.InUse = int64(n / sum * float64(live))
		}
		left -= u.InUse
		if largest == nil || u.InUse > largest.InUse {
			largest = u
		}
	}
	if largest == nil || sum == 0 {
		largest = at(nil)
	}
	largest.InUse += left // what rounding left, or all
	all := make([]Use, 0, len(uses))
	for _, u := range uses {
		if u.InUse > 0 || u.TotalBytes > 0 {
			all = append(all, *u)
		}
	}
	return all
}

// Figures are what package inspect gets of a cache.
type Figures struct {
	ObjectSize int64
	Uses       []Use
}
