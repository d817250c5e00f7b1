package heapprof

import (
	"math"
	"testing"
)

// in returns what sites have in use by a read.
func in(p *Profile, live int64, out func(head, id uint32) (int, bool)) map[*Site]int64 {
	uses := make(map[*Site]int64)
	for _, u := range p.Read(live, out, nil) {
		if u.InUse > 0 {
			uses[u.Site] = u.InUse
		}
	}
	return uses
}

// note notes a take out of one slab.
func note(p *Profile, s *Site, id, out, n uint32) {
	var t Takes
	t.Took(Take{id, out, n})
	p.Note(s, &t, 16)
}

// Shares follow what was taken and what came back.
func TestSharesOfASlab(t *testing.T) {
	defer SetRate(SetRate(1))
	var p Profile
	a, b := new(Site), &Site{PCs: []uintptr{1}}
	id := p.Sample(7, 4096)
	if id == 0 {
		t.Fatal("at rate 1 a slab was not sampled")
	}
	out, there := 100, true
	now := func(head, i uint32) (int, bool) {
		if head != 7 || i != id {
			t.Errorf("asked for slab %d at %d", i, head)
		}
		return out, there
	}
	note(&p, a, id, 0, 100)
	if got := in(&p, 100, now); got[a] != 100 || len(got) != 1 {
		t.Errorf("a took 100: %v", got)
	}
	note(&p, b, id, 10, 90) // 90 of a's came back
	if got := in(&p, 1000, now); got[a] != 100 || got[b] != 900 {
		t.Errorf("10 of a's and 90 of b's, of 1000 live: %v", got)
	}
	note(&p, b, id, 0, 100) // all came back
	if got := in(&p, 100, now); got[b] != 100 || len(got) != 1 {
		t.Errorf("all came back, and b took 100: %v", got)
	}
	out = 0
	if got := in(&p, 0, now); len(got) != 0 {
		t.Errorf("all came back: %v", got)
	}
	out, there = 5, false // the memory is another cache's
	if got := in(&p, 33, now); got[nil] != 33 || len(got) != 1 {
		t.Errorf("the slab is gone: %v", got)
	}
	if len(p.slabs) != 0 {
		t.Error("a slab that is gone was not forgotten")
	}
	note(&p, a, id, 0, 1) // too late
	p.Total(b, 5)
	for _, u := range p.Read(0, now, nil) {
		if want := map[*Site]int64{a: 100 * 16, b: 190*16 + 5*reuse}[u.Site]; u.TotalBytes != want {
			t.Errorf("%d bytes in total, want %d", u.TotalBytes, want)
		}
	}
}

// An object is its last allocation's, as long as it is out of its slab. What is known
// in a slab is not shared out a second time.
func TestObjectsAreTheirSites(t *testing.T) {
	defer SetRate(SetRate(1))
	if !Exact() {
		t.Error("rate 1 is not exact")
	}
	var p Profile
	a, b := new(Site), &Site{PCs: []uintptr{1}}
	id := p.Sample(7, 4096)
	note(&p, a, id, 0, 10)
	gone := map[uint32]bool{}
	read := func(live int64) map[*Site]int64 {
		uses := make(map[*Site]int64)
		for _, u := range p.Read(live, func(uint32, uint32) (int, bool) { return 10, true },
			func(off uint32) (uint32, bool) { return 7, !gone[off] }) {
			uses[u.Site] += u.InUse
		}
		return uses
	}
	for off := range uint32(4) {
		p.Object(b, off, 16)
	}
	if got := read(10); got[a] != 6 || got[b] != 4 {
		t.Errorf("4 of 10 are known to be b's: %v", got)
	}
	p.Object(a, 0, 16) // freed by b, and allocated by a
	gone[1] = true
	if got := read(10); got[a] != 8 || got[b] != 2 {
		t.Errorf("one went to a, one was freed: %v", got)
	}
	if len(p.known) != 3 {
		t.Errorf("%d objects are known", len(p.known))
	}
}

// Gaps are as long as they should be on average, and slabs are sampled as the formula says.
func TestSamplesAreOneInRate(t *testing.T) {
	defer SetRate(SetRate(1 << 20))
	const n = 200000
	sum := 0.0
	for range n {
		sum += float64(NextGap())
	}
	if mean := sum / n / reuse; math.Abs(mean/(1<<20)-1) > 0.02 { // 9 standard errors
		t.Errorf("the mean gap is %v", mean)
	}
	var p Profile
	weights, got := 0.0, 0
	for range n {
		if id := p.Sample(1, 32<<10); id != 0 {
			weights += p.slabs[id].weight
			got++
		}
	}
	if math.Abs(weights/n-1) > 0.12 || got < n/64 { // 9 standard errors
		t.Errorf("%d of %d slabs, which weigh %v", got, n, weights)
	}
	SetRate(0)
	if id := p.Sample(1, 1<<30); id != 0 {
		t.Error("a slab is sampled without a rate")
	}
	if NextGap() <= 0 {
		t.Error("a gap without a rate")
	}
}

// Equal stacks are one Site.
func TestHere(t *testing.T) {
	var s [3]*Site
	for i := range s {
		s[i] = Here(0)
	}
	if s[0] != s[1] || s[1] != s[2] || len(s[0].PCs) == 0 {
		t.Error("one place is several sites")
	}
	if Here(0) == s[0] {
		t.Error("two places are one site")
	}
}
