//go:build holds

package holds

import (
	"runtime"
	"slices"
	"sync/atomic"
)

const (
	frames   = 12      // of a call stack that tell sites apart
	maxSites = 1 << 11 // the last one is for all that find no other
)

// key is what tells two sites apart.
type key struct {
	kind Kind
	end  bool // where long ones ended; others: where all began
	name string
	pcs  [frames]uintptr
}

// site has the sections of one key. Its key is immutable once state is siteMade.
type site struct {
	key
	state atomic.Uint32
	counts
	planted // by Plant
}

// planted is what makes some sections of a site longer.
type planted struct {
	every atomic.Int64 // 0: nothing
	ns    atomic.Int64
	n     atomic.Int64 // sections so far
}

const (
	siteFree = iota
	siteTaken
	siteMade
)

// counts are a histogram and what it can't say.
type counts struct {
	hist    [Buckets]atomic.Uint64
	longest atomic.Int64
}

func (c *counts) record(ns int64) {
	c.hist[Bucket(ns)].Add(1)
	for {
		m := c.longest.Load()
		if ns <= m || c.longest.CompareAndSwap(m, ns) {
			return
		}
	}
}

func (c *counts) reset() {
	for b := range c.hist {
		c.hist[b].Store(0)
	}
	c.longest.Store(0)
}

func (c *counts) read() Counts {
	r := Counts{Hist: make([]uint64, Buckets), Longest: c.longest.Load()}
	for b := range r.Hist {
		r.Hist[b] = c.hist[b].Load()
		r.N += r.Hist[b]
	}
	return r
}

var sites [maxSites]site

// find returns the site with the key, and makes it if there is none.
func find(k *key) *site {
	h := uint64(k.kind) + 14695981039346656037
	for _, pc := range k.pcs {
		h = (h ^ uint64(pc)) * 1099511628211
	}
	for i := range len(k.name) {
		h = (h ^ uint64(k.name[i])) * 1099511628211
	}
	if k.end {
		h++
	}
	h ^= h >> 29
	for range 64 {
		s := &sites[h%(maxSites-1)]
		if s.state.CompareAndSwap(siteFree, siteTaken) {
			s.key = *k
			s.state.Store(siteMade)
			return s
		}
		for s.state.Load() != siteMade { // pinned or not, for some instructions
		}
		if s.key == *k {
			return s
		}
		h++
	}
	return &sites[maxSites-1]
}

// Read returns what was measured.
//
// Context: task; not pinned.
func Read() Data {
	d := Data{Control: control.read(), Reading: reading.Load(), Foreign: foreign.Load()}
	for i := range sites {
		s := &sites[i]
		x := Site{Counts: s.read(), ID: i}
		if x.N == 0 {
			continue
		}
		if s.state.Load() == siteMade {
			x.Kind, x.Name = s.kind, s.name
			x.Stack = s.stack()
		}
		if s.end {
			d.Ends = append(d.Ends, x)
		} else {
			d.Sites = append(d.Sites, x)
		}
	}
	return d
}

func (k *key) stack() (all []runtime.Frame) {
	n := slices.Index(k.pcs[:], 0)
	if n < 0 {
		n = frames
	}
	for f := runtime.CallersFrames(k.pcs[:n]); ; {
		frame, more := f.Next()
		if frame.Function != "" {
			all = append(all, frame)
		}
		if !more {
			return all
		}
	}
}

// reading is what reading the clock takes, in ns: the least that was seen.
var reading atomic.Int64

// Start clears all counts and measures from here on.
//
// Context: task; not pinned.
func Start() {
	recording.Store(false)
	calibrate()
	for i := range sites {
		sites[i].reset()
	}
	control.reset()
	foreign.Store(0)
	recording.Store(true)
}

// Stop ends what Start began. Sections that have begun are counted when they end.
func Stop() { recording.Store(false) }

// calibrate finds what is to be deducted.
func calibrate() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	least := int64(1 << 62)
	for range 4000 {
		begin := clock()
		least = min(least, clock()-begin)
	}
	reading.Store(least)
}

// Plant has every n-th section of a site last ns longer, by spinning at its end: for
// tests of what finds that out. With 0 that ends.
func Plant(id int, every, ns int64) {
	p := &sites[id].planted
	p.ns.Store(ns)
	p.every.Store(every)
}

// spin makes a section longer, if that is planted.
func (p *planted) spin() {
	if every := p.every.Load(); every > 0 && p.n.Add(1)%every == 0 {
		for end := clock() + p.ns.Load(); clock() < end; {
		}
	}
}
