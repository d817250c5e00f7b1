package demo

import "testing"

// Any change of any one field, and another path's record, is noticed.
func TestARecordThatChangedIsNotIntact(t *testing.T) {
	good := record{tag: 1, gen: 2, size: 3, mtime: 4, mode: 5, sum: 6}
	good.seal()
	if !good.intact(1) {
		t.Fatal("a sealed record is not intact")
	}
	if good.intact(2) {
		t.Error("a record is intact for another path")
	}
	for bit := range 64 {
		b := uint64(1) << bit
		for name, change := range map[string]func(*record){
			"tag":   func(r *record) { r.tag ^= b },
			"gen":   func(r *record) { r.gen ^= b },
			"size":  func(r *record) { r.size ^= int64(b) },
			"mtime": func(r *record) { r.mtime ^= int64(b) },
			"mode":  func(r *record) { r.mode ^= 1 << (bit % 32) },
			"sum":   func(r *record) { r.sum ^= 1 << (bit % 32) },
			"check": func(r *record) { r.check ^= b },
		} {
			r := good
			change(&r)
			if r.intact(r.tag) {
				t.Errorf("bit %d of %s changed unnoticed", bit, name)
			}
		}
	}
}

func TestVerdictTellsAnErrorFromARace(t *testing.T) {
	e := &entry{path: "x", tag: 7}
	rec := func(gen uint64) *record {
		r := &record{tag: 7, gen: gen}
		r.seal()
		return r
	}
	broken := rec(5)
	broken.size++
	for _, c := range []struct {
		name          string
		before, after uint64
		r             *record
		bad           bool
	}{
		{"there, found", word(5, present), word(5, present), rec(5), false},
		{"there, found broken", word(5, present), word(5, present), broken, true},
		{"there, missed", word(5, present), word(5, present), nil, true},
		{"replaced meanwhile, missed", word(5, present), word(6, present), nil, false},
		{"replaced meanwhile, old found", word(5, present), word(6, present), rec(5), false},
		{"replaced meanwhile, new found", word(5, present), word(6, present), rec(6), false},
		{"being replaced, new found", word(5, present), word(5, present), rec(6), false},
		{"replaced before, old found", word(6, present), word(6, present), rec(5), true},
		{"from the future", word(5, present), word(5, present), rec(7), true},
		{"deletion began, missed", word(5, present), word(5, deleting), nil, false},
		{"deletion runs, missed", word(5, deleting), word(5, deleting), nil, false},
		{"deletion runs, found", word(5, deleting), word(5, deleting), rec(5), false},
		{"gone, missed", word(5, absent), word(5, absent), nil, false},
		{"gone, found", word(5, absent), word(5, absent), rec(5), true},
		{"deletion ended meanwhile, found", word(5, deleting), word(5, absent), rec(5), false},
		{"insertion began, found", word(5, absent), word(5, inserting), rec(6), false},
		{"insertion runs, missed", word(5, inserting), word(5, inserting), nil, false},
		{"insertion runs, found", word(5, inserting), word(5, inserting), rec(6), false},
		{"insertion ended meanwhile, missed", word(5, inserting), word(6, present), nil, false},
	} {
		if what := verdict(e, c.before, c.r, c.after); (what != "") != c.bad {
			t.Errorf("%s: verdict %q", c.name, what)
		}
	}
}

func TestDrawFollowsTheWeights(t *testing.T) {
	var n [contexts]int
	for i := range 100 {
		n[draw(i)]++
	}
	if n != weights {
		t.Errorf("100 draws gave %v, want %v", n, weights)
	}
}
