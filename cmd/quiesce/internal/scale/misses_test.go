package scale

import (
	"os"
	"path/filepath"
	"quiesce/cmd/quiesce/internal/compare"
	"strings"
	"testing"
)

func TestParseCachegrind(t *testing.T) {
	f, err := os.Open(filepath.Join("testdata", "cachegrind.txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m, err := parseCachegrind(f)
	if want := (Misses{D1: 255_948, LL: 236_140}); err != nil || m != want {
		t.Errorf("%+v %v, want %+v", m, err, want)
	}
	for _, bad := range []string{
		"",
		"events: Ir\nsummary: 1 2",
		"events: Ir\nsummary: 1", // --cache-sim=no
		"events: D1mr D1mw DLmr DLmw\nsummary: 1 2 x 4",
	} {
		if m, err := parseCachegrind(strings.NewReader(bad)); err == nil {
			t.Errorf("%q: %+v", bad, m)
		}
	}
}

func TestWithoutValgrindItIsSkipped(t *testing.T) {
	t.Setenv("PATH", "")
	r, err := CountMisses(background, MissesConfig{Objects: 1000}, nil)
	if err != nil || !strings.Contains(r.Skipped, "valgrind") || len(r.Rows) != 0 || !r.OK {
		t.Errorf("%+v %v", r, err)
	}
}

func TestAChildThatDiesIsAnError(t *testing.T) {
	script := filepath.Join(t.TempDir(), "valgrind")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho not today >&2\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := CountMisses(background, MissesConfig{Objects: 1000, Valgrind: script}, nil)
	if err == nil || !strings.Contains(err.Error(), "not today") {
		t.Error(err)
	}
}

func TestMissesAreJudgedByTheLists(t *testing.T) {
	r := MissesReport{OK: true}
	for _, x := range []struct {
		way string
		ll  float64
		ok  bool
	}{{"list", 1.04, true}, {"array", 0.5, true}, {"kfree_bulk", 0.13, true}, {"hand-over", -0.01, true}, {"kfree_bulk", 0.14, false}} {
		r.Rows = append(r.Rows, CacheRow{Way: x.way, Reclaim: Misses{D1: 9, LL: x.ll}})
		row := &r.Rows[len(r.Rows)-1]
		if r.judge(row); row.OK != x.ok || r.OK != x.ok || row.OfList < 0 {
			t.Errorf("%+v", row)
		}
	}
}

func TestTheColdChildGoesThroughItsStages(t *testing.T) {
	for _, way := range coldWays {
		for s := range stages {
			in, err := compare.New(way.strategy, compare.Config{Depot: way.depot, Reserve: 64 << 20})
			if err != nil {
				t.Fatal(err)
			}
			end, err := goCold(in, 2000, s)
			if err != nil {
				t.Fatalf("%s: %v", way.name, err)
			}
			end()
			in.Barrier()
			c := in.Counts()
			if n := c.Arrays + c.Fallback; s >= reclaimed && n < 2000 || s == filled && n != 0 {
				t.Errorf("%s, stage %d: %+v", way.name, s, c)
			}
		}
	}
	for _, bad := range []string{"", "x\n", `{"strategy":"none","objects":1,"last_stage":1}` + "\n",
		`{"strategy":"list","depot_bytes":"x"}` + "\n", `{"strategy":"list","objects":"x"}` + "\n", `{"strategy":"list","last_stage":"x"}` + "\n"} {
		if MissesChild(strings.NewReader(bad)) == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
