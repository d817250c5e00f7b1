package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"quiesce/tests/internal/overlay"
	"quiesce/tests/shared/tally"
)

func root(t *testing.T) string {
	t.Helper()
	r, err := overlay.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Each operation of the testdata is counted as often as its line says.
func TestOperationsAreCounted(t *testing.T) {
	const small = "tests/shared/testdata/small"
	root, dir := root(t), t.TempDir()
	o, err := instrumented(root, []string{small})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "small")
	if err := compile(t.Context(), root, dir, "./"+small, binary, o); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), binary).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	var counts []uint64
	if err := json.Unmarshal(out, &counts); err != nil {
		t.Fatal(err)
	}
	got := map[int]uint64{} // by line
	kinds := map[string]int{}
	for i, s := range o.sites {
		got[s.Line] += counts[i]
		kinds[s.Kind]++
	}
	text, err := os.ReadFile(filepath.Join(root, small, "small.go"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`// .*\bwant (\d+)$`)
	for i, line := range strings.Split(string(text), "\n") {
		n := 0
		if m := want.FindStringSubmatch(line); m != nil {
			n, _ = strconv.Atoi(m[1])
		}
		if got[i+1] != uint64(n) {
			t.Errorf("small.go:%d: counted %d, want %d: %s", i+1, got[i+1], n, line)
		}
	}
	if kinds[rmw] != 11 || kinds[hold] != 6 {
		t.Errorf("sites: %v", kinds)
	}
}

// What can't be counted is an error, never left out.
func TestWhatCanNotBeCountedIsAnError(t *testing.T) {
	for _, body := range []string{"go mu.TryLock()", "defer mu.TryLock()", "for mu.Lock(); ; { }", "if mu.Lock(); true { }"} {
		o := &overlaid{module: "m", files: map[string]string{}}
		err := o.add("p/p.go", "package p\n\nfunc f() {\n\t"+body+"\n}\n")
		if err == nil || !strings.Contains(err.Error(), "p/p.go:4") {
			t.Errorf("%s: error %v\n%s", body, err, o.files["p/p.go"])
		}
	}
}

// The library's operations, found line by line, are the sites.
func TestEveryTaggedOperationIsFound(t *testing.T) {
	root := root(t)
	o, err := instrumented(root, counted)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.sites) > tally.Most {
		t.Fatalf("%d sites, and %d counters", len(o.sites), tally.Most)
	}
	found := map[string]int{} // by file:line
	for _, s := range o.sites {
		if s.Kind == rmw {
			found[fmt.Sprintf("%s:%d", s.File, s.Line)]++
			if s.Tags == "" {
				t.Errorf("%s:%d has no tag", s.File, s.Line)
			}
		}
	}
	operation := regexp.MustCompile(`(\w*)\.(?:CompareAndSwap|Swap|Add|And|Or)(?:Int32|Int64|Uint32|Uint64|Uintptr|Pointer)?\(`)
	whole := regexp.MustCompile(`^func .*\{ *// .*\bord:`)
	lines := 0
	for _, pkg := range counted {
		names, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") || plainBuildLacks.Match(text) {
				continue
			}
			inWhole := false
			for i, line := range strings.Split(string(text), "\n") {
				if strings.HasPrefix(line, "func ") {
					inWhole = whole.MatchString(line)
				}
				code, comment, _ := strings.Cut(line, "//")
				n := 0
				for _, m := range operation.FindAllStringSubmatch(code, -1) {
					if m[1] != "unsafe" && m[1] != "cmp" && (inWhole || strings.Contains(comment, "ord:")) {
						n++
					}
				}
				at := fmt.Sprintf("%s/%s:%d", pkg, filepath.Base(name), i+1)
				if found[at] != n {
					t.Errorf("%s: %d sites for %d operations: %s", at, found[at], n, line)
				}
				lines += min(n, 1)
			}
		}
	}
	if lines < 150 {
		t.Errorf("only %d lines with operations", lines)
	}
}

// The library's own figures and the counters agree, and each workload runs.
func TestCountsAgreeWithTheLibrary(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the library with counters")
	}
	root, dir := root(t), t.TempDir()
	binary, o, err := build(t.Context(), root, dir)
	if err != nil {
		t.Fatal(err)
	}
	count := func(m moment, in, text string) (n uint64) {
		found := false
		for i, s := range o.sites {
			if s.In == in && s.Text == text {
				found = true
				n += m.Counts[i]
			}
		}
		if !found {
			t.Fatalf("no %s in %s", text, in)
		}
		return n
	}
	for _, w := range workloads {
		out, err := load(t.Context(), binary, w.name, 3, 300000)
		if err != nil {
			t.Fatal(err)
		}
		// A barrier's counter follows it, so that one at most is not counted yet.
		if n := count(out.End, "leadLocked", "funnel.begun.Add"); n+1 < out.End.Membarriers || n > out.Last.Membarriers {
			t.Errorf("%s: counted %d membarriers, and there were %d to %d", w.name, n, out.End.Membarriers, out.Last.Membarriers)
		}
		r := perThousand(w.name, 3, out, o.sites)
		if out.Objects != 300000 || r.NS <= 0 {
			t.Errorf("%s: %+v", w.name, r)
		}
		if w.name == "churn" || w.name == "sheaf" {
			if r.RMWs == 0 || r.Holds == 0 || out.Last.GracePeriods == 0 || out.Last.Membarriers == 0 {
				t.Errorf("%s: %+v, grace periods %d, membarriers %d", w.name, r.figures, out.Last.GracePeriods, out.Last.Membarriers)
			}
		}
	}
}

func TestVerdictAndTablesFit(t *testing.T) {
	s := []site{{File: "internal/percpu/percpu.go", Line: 1234, In: "someLongReceiver.someLongName", Kind: rmw, Text: "a.b.CompareAndSwapUint64", Tags: "chain-head,chain-bit"}}
	for _, c := range []struct {
		few, many float64
		want      bool
	}{{0, 1, true}, {0, 1.01, false}, {10, 16, true}, {10, 16.5, false}, {1234, 1234, true}} {
		rep := &report{Objects: 1, Runs: 1, Sites: s}
		for _, ps := range procs {
			r := row{Workload: "churn", Procs: ps, Sites: map[int]float64{0: c.few}}
			r.RMWs, r.Holds, r.Membarriers = c.few, 1234, 5
			if ps == procs[len(procs)-1] {
				r.RMWs = c.many
			}
			rep.Rows = append(rep.Rows, r)
		}
		rep.judge()
		var b strings.Builder
		rep.print(&b)
		if rep.OK != c.want || c.want == strings.Contains(b.String(), "MISS") {
			t.Errorf("from %v to %v: ok is %v\n%s", c.few, c.many, rep.OK, &b)
		}
		for line := range strings.Lines(b.String() + fmt.Sprintf(usage, about())) {
			if len(line) > 81 {
				t.Errorf("%d bytes: %s", len(line)-1, line)
			}
		}
	}
}
