package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
	"quiesce/bench/internal/harness/harnesstest"
)

func TestMain(m *testing.M) { harnesstest.Main(m, childArg, child, command) }

func TestFormats(t *testing.T) {
	for _, c := range []struct {
		name, text string
		requests   []uint32
		sizes      []uint32
	}{
		{"lirs-x", "7\n\n8\n*\n7\n", []uint32{0, 1, 0}, nil},
		{"arc-p3", "10 3 0 1\n12 2 0 2\n", []uint32{0, 1, 2, 2, 3}, nil},
		{"cache2k-x", "\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x01", []uint32{0, 1, 0}, nil},
		{"corda-x", "\x00\x00\x00\x00\x00\x00\x00\x01\x01\x00\x00\x00\x00\x00\x00\x01", []uint32{0, 1}, nil},
		{"adapt_size-x", "1 5 100\n2 6 0\n3 5 100\n", []uint32{0, 1, 0}, []uint32{100, 1}},
	} {
		f, ok := formatOf(c.name)
		if !ok {
			t.Fatalf("%s: no format", c.name)
		}
		got, err := readTrace(c.name, f, strings.NewReader(c.text))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !slices.Equal(got.requests, c.requests) || !slices.Equal(got.sizes, c.sizes) {
			t.Errorf("%s: requests %v of sizes %v, want %v of %v", c.name, got.requests, got.sizes, c.requests, c.sizes)
		}
	}
}

func TestBadFilesAreErrors(t *testing.T) {
	for name, text := range map[string]string{
		"arc-p3": "1 x 0 0\n", "arc-oltp": "1\n", "adapt_size-x": "1 2\n", "corda-x": "1234567", "lirs-x": "\n",
	} {
		f, _ := formatOf(name)
		if _, err := readTrace(name, f, strings.NewReader(text)); err == nil {
			t.Errorf("%s: no error for %q", name, text)
		}
	}
}

// TestCommand measures a trace from a file, and what is generated.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for range 20 {
		for i := range 1500 {
			z.Write([]byte(string(rune('0'+i/1000)) + "0" + string(rune('0'+i/100%10)) + string(rune('0'+i/10%10)) + string(rune('0'+i%10)) + "\n"))
		}
	}
	z.Close()
	if err := os.WriteFile(filepath.Join(dir, "lirs-multi3.gz"), b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if status := command([]string{"-short", "-json", "-traces", dir, "-run", "^(lirs|zipf)"}, &out, &errs); status != harness.ExitOK {
		t.Fatalf("status %d: %s", status, errs.String())
	}
	var rep Report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	if len(rep.Rows) != 6 || len(rep.Sized) != 2 || len(rep.Verdicts) != 4 {
		t.Fatalf("%d rows, %d with sizes, %d verdicts; want 6, 2, 4", len(rep.Rows), len(rep.Sized), len(rep.Verdicts))
	}
	r := rep.Rows[0]
	if r.Name != "lirs-multi3" || r.Capacity != 1000 || r.Requests != 30_000 || r.Keys != 1500 || !r.Trace {
		t.Errorf("first row %+v", r)
	}
	// A loop of 1500 keys: LRU has no hit, and nobody more than 1000 of 1500.
	if r.Hits["lru"] != 0 || r.Hits[ours] < 40 || r.Hits[ours] > 100*1000.0/1500 {
		t.Errorf("a loop: lru %.1f, tinylfu %.1f; want 0, 40 to 66.7", r.Hits["lru"], r.Hits[ours])
	}
	for _, line := range strings.Split(rendered(&rep), "\n") {
		if len(line) > 80 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
}

func rendered(rep *Report) string {
	var b bytes.Buffer
	render(&b, rep)
	return b.String()
}

func TestTheTableFits80Columns(t *testing.T) {
	hits := map[string]float64{}
	for _, p := range peers {
		hits[p.name] = 99.99
	}
	long := &Row{Name: "cloud_physics-w106-and-more", Capacity: 150_000, Trace: true, Hits: hits}
	sized := &Row{Name: "adapt_size-request", Capacity: 1 << 34, Trace: true, Hits: hits, Bytes: hits}
	rep := &Report{Count: 5, Rows: []*Row{long, {Name: "zipf-scan", Capacity: 10_000, Hits: hits}}, Sized: []*Row{sized}}
	rep.Verdicts = judge(rep)
	text := rendered(rep)
	for _, line := range strings.Split(text, "\n") {
		if len(line) > 80 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
	for _, word := range []string{"mean, from 1000", "otter*", "MISSED", "held", "at cloud_physics-w106"} {
		if !strings.Contains(text, word) {
			t.Errorf("no %q in the table:\n%s", word, text)
		}
	}
}

func TestVerdicts(t *testing.T) {
	row := func(name string, capacity int, our, other float64) *Row {
		return &Row{Name: name, Capacity: capacity, Trace: true, Hits: map[string]float64{ours: our, otterBound: other, otterAsIs: other}}
	}
	rep := &Report{Rows: []*Row{row("a", 50, 10, 40), row("b", 1000, 50, 52), row("c", 2000, 90, 50)}}
	vs := judge(rep)
	if len(vs) != 4 || !vs[0].Held || !vs[1].Held || vs[1].Row != "b/1000" {
		t.Errorf("verdicts %+v; want all held: a small capacity counts for the mean alone", vs)
	}
	rep.Rows[1].Hits[otterAsIs] = 52.1
	if vs = judge(rep); !vs[1].Held || vs[3].Held || vs[3].Row != "b/1000" {
		t.Errorf("verdicts %+v; want the last missed, by 2.1 points", vs)
	}
}

func TestSizesAreReadAndDrawn(t *testing.T) {
	next, err := parseSizes([]byte(`{"valSizeRange": [10, 20, 30], "valSizeRangeProbability": [1, 0, 3]}`))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	low := 0
	for range 1000 {
		switch s := next(rng); {
		case s >= 10 && s < 20:
			low++
		case s != 30:
			t.Fatalf("size %d, want 10 to 19, or 30", s)
		}
	}
	if low < 150 || low > 350 {
		t.Errorf("%d of 1000 sizes are in the first range, want about 250", low)
	}
	if _, err := parseSizes([]byte(`{"valSizeRange": [1], "valSizeRangeProbability": [1, 2]}`)); err == nil {
		t.Error("no error for fewer bounds than ranges")
	}
}

func TestBadUse(t *testing.T) {
	for _, args := range [][]string{{"-count", "0"}, {"-run", "("}, {"extra"}, {"-short", "-run", "no such row"}} {
		var out, errs bytes.Buffer
		if status := command(args, &out, &errs); status != harness.ExitUsage || errs.Len() == 0 {
			t.Errorf("%v: status %d, %q", args, status, errs.String())
		}
	}
	var out, errs bytes.Buffer
	if status := command([]string{"-h"}, &out, &errs); status != harness.ExitOK {
		t.Errorf("-h: status %d", status)
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if len(line) > 80 {
			t.Errorf("a line of help has %d columns: %s", len(line), line)
		}
	}
}
