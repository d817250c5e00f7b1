package fault

import (
	"sync"
	"testing"
)

func TestParseAttr(t *testing.T) {
	for s, want := range map[string]Attr{
		"0":             {},
		"10":            {Probability: 10},
		"0.5":           {Probability: 0.5},
		"100:7":         {Probability: 100, Interval: 7},
		"100:7:3":       {Probability: 100, Interval: 7, Times: 3},
		"100:1:-1:4096": {Probability: 100, Interval: 1, Times: -1, Space: 4096},
	} {
		if a, err := ParseAttr(s); a != want || err != nil {
			t.Errorf("%q: %+v, %v", s, a, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "101", "NaN", "10:", "10:-1", "10:1:1:-5", "10:1:1:1:1"} {
		if a, err := ParseAttr(s); err == nil {
			t.Errorf("%q: %+v", s, a)
		}
	}
}

// calls returns what n chances in a row give: x for a failure.
func calls(p *Point, n int, bytes int64) string {
	var b []byte
	for range n {
		c := byte('.')
		if p.Fail(bytes) {
			c = 'x'
		}
		b = append(b, c)
	}
	return string(b)
}

func TestAttributes(t *testing.T) {
	for _, c := range []struct {
		name string
		attr Attr
		want string
	}{
		{"off", Attr{}, "........"},
		{"always", Attr{Probability: 100}, "xxxxxxxx"},
		{"every third", Attr{Probability: 100, Interval: 3}, "..x..x.."},
		{"twice", Attr{Probability: 100, Times: 2}, "xx......"},
		{"every second, twice", Attr{Probability: 100, Interval: 2, Times: 2}, ".x.x...."},
		{"after 25 bytes", Attr{Probability: 100, Space: 25}, "...xxxxx"},
	} {
		p := &Point{name: "test"}
		p.Set(c.attr)
		if got := calls(p, 8, 10); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		p.Set(Attr{})
		if got := calls(p, 4, 10); got != "...." {
			t.Errorf("%s, set to zero: %s", c.name, got)
		}
	}
}

func TestProbabilityIsAPercentage(t *testing.T) {
	p := &Point{name: "test"}
	p.Set(Attr{Probability: 10})
	n := 0
	for range 100_000 {
		if p.Fail(1) {
			n++
		}
	}
	if n < 9_000 || n > 11_000 { // 10 sigma
		t.Errorf("%d of 100000", n)
	}
	if p.Injected() != uint64(n) {
		t.Errorf("Injected %d, seen %d", p.Injected(), n)
	}
}

func TestNthFailsExactlyOneAllocationOfAll(t *testing.T) {
	Nth(5)
	if got := calls(Slab, 2, 1) + calls(Page, 5, 1); got != "....x.." {
		t.Error(got)
	}
	if !Nth(3) {
		t.Error("the 5th was not reported as failed")
	}
	if got := calls(Page, 2, 1); got != ".." {
		t.Error(got)
	}
	if Nth(0) {
		t.Error("the 3rd of two was reported as failed")
	}
	if got := calls(Page, 3, 1); got != "..." {
		t.Error("called off: " + got)
	}
	Nth(1000)
	var wg sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				if Slab.Fail(1) {
					mu.Lock()
					n++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if n != 1 || !Nth(0) {
		t.Errorf("%d of 4 goroutines' allocations failed", n)
	}
}

func TestWatchFollowsTheArming(t *testing.T) {
	p := &Point{name: "test"}
	var got []bool
	p.Watch(func(armed bool) { got = append(got, armed) })
	p.Set(Attr{Probability: 1})
	p.Set(Attr{})
	if want := [3]bool{false, true, false}; len(got) != 3 || [3]bool(got) != want {
		t.Error(got)
	}
}

func TestSetResize(t *testing.T) {
	for _, on := range []bool{true, false} {
		if SetResize(on); Resize() != on {
			t.Errorf("%v after SetResize(%v)", Resize(), on)
		}
	}
}
