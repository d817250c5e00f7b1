package torture

import (
	"io"
	"slices"
	"testing"

	"quiesce/gfp"
)

func testMaps(t *testing.T) (*maps, *mapReader, *mapWriter) {
	t.Helper()
	p := defaults()
	if err := p.set("map_nthreads=1 map_nreaders=1 map_keys=1000 map_stay=100 kfree_nthreads=0"); err != nil {
		t.Fatal(err)
	}
	s, err := newSession("MAP", p, 42, 0, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	return s.maps, s.maps.readers[0], s.maps.writers[0]
}

// What is wrong with a map is seen by its readers, its writers, and in the end.
func TestWhatIsWrongWithAMapIsSeen(t *testing.T) {
	torn := make([]byte, 8*numberWords)
	for name, c := range map[string]struct {
		spoil          func(m *maps)
		look, walk     string // what a reader finds
		writer, ending string // kinds of failures
	}{
		"nothing": {spoil: func(*maps) {}},
		"a key that stays is lost": {
			func(m *maps) { m.table[0].remove(7) },
			"a key that stays was not found", "a walk did not see a key that stays once", "maps: Put", "maps: the end",
		},
		"a value is torn": {
			func(m *maps) { m.table[0].put(7, torn, gfp.Kernel) },
			"a torn value", "a torn value", "maps: Put", "maps: the end",
		},
		"a key is back that was deleted": {
			func(m *maps) { m.table[0].put(700, m.writers[0].value(m.table[0], 700), gfp.Kernel) }, "", "", "", "maps: the end",
		},
		"memory is lost": {func(m *maps) { m.pages.Alloc(0, gfp.Kernel) }, "", "", "", "leak"},
	} {
		t.Run(name, func(t *testing.T) {
			m, r, w := testMaps(t)
			c.spoil(m)
			for range 20_000 {
				r.look(r.rng.Uint64())
			}
			if r.wrong.what != c.look {
				t.Errorf("look-ups find %q, want %q", r.wrong.what, c.look)
			}
			for _, way := range []uint64{0, 1 << 8} {
				r.wrong = mapWrong{}
				r.walk(way * uint64(len(m.table))) // of the first map
				if r.wrong.what != c.walk {
					t.Errorf("a walk finds %q, want %q", r.wrong.what, c.walk)
				}
			}
			failed := func(kind string) bool {
				return slices.ContainsFunc(m.s.failures, func(f Failure) bool { return f.Kind == kind })
			}
			w.expect(0, 7, "Put")
			if failed("maps: Put") != (c.writer != "") {
				t.Errorf("the owner finds %+v, want %q", m.s.failures, c.writer)
			}
			m.end()
			if c.ending == "" && len(m.s.failures) > 0 || c.ending != "" && !failed(c.ending) {
				t.Errorf("in the end %+v, want %q", m.s.failures, c.ending)
			}
		})
	}
}

// A scenario with a number of operations ends when it has them.
func TestAScenarioEndsAfterItsOperations(t *testing.T) {
	const n = 20_000
	rep := mustRun(t, config(t, "MAP", 10*turn, "map_ops=20000"))
	if r := rep.Results[0]; !rep.OK || rep.Rounds != 1 || r.Map.Ops < n {
		t.Errorf("%+v", r)
	}
	if m := rep.Results[0].Map; m.Puts == 0 || m.Deletes == 0 || m.Finds == 0 || m.Phases == 0 {
		t.Errorf("%+v", m)
	}
}
