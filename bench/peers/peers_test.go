package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/bench/internal/harness"
	"quiesce/bench/internal/harness/harnesstest"
)

func TestMain(m *testing.M) { harnesstest.Main(m, childArg, child, command) }

func TestFiguresAreParsed(t *testing.T) {
	f, err := harness.ParseFigures("figure ns 12.500\nfigure cpu 3\n", "ns")
	if err != nil || len(f) != 2 || f["ns"] != 12.5 || f["cpu"] != 3 {
		t.Errorf("%v, %v", f, err)
	}
	for _, bad := range []string{"", "hello\n", "figure ns\n", "figure ns twelve\n", "figure ns NaN\n", "figure ns Inf\n",
		"figure ns -1\n", "figure ns 1 2\n", "figure cpu 1\n", "figure ns 1\nfigure ns 2\n", "figure ns 1\nSegmentation fault\n"} {
		if f, err := harness.ParseFigures(bad, "ns"); err == nil {
			t.Errorf("%q is %v", bad, f)
		}
	}
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

func TestARowIsTheMedianOfItsRoundsAndOfTheirRatios(t *testing.T) {
	round := func(ns ...float64) (f []harness.Figures) {
		for _, v := range ns {
			f = append(f, harness.Figures{"ns": v, "cpu": 2 * v, "write": 7})
		}
		return f
	}
	base := round(10, 20, 40)
	r := result("peer", round(30, 20, 200), base)
	if r.NS != 30 || r.CPUNS != 60 || r.Figures["write"] != 7 || len(r.Rounds) != 3 {
		t.Errorf("%+v", r)
	}
	if r.CPURatio != 3 || r.Ratio != 3 { // of 3, 1 and 5; the quotient of the medians is another
		t.Errorf("ratio %v", r.Ratio)
	}
	if b := result("base", base, base); b.Ratio != 1 {
		t.Errorf("the base's own ratio is %v", b.Ratio)
	}
	missing := round(30, 20, 200)
	missing[1] = nil
	if r := result("peer", missing, base); len(r.Rounds) != 2 || r.Ratio != 4 {
		t.Errorf("with a round missing: %+v", r)
	}
	if r := result("peer", round(30), nil); r.Ratio != 0 {
		t.Errorf("without a base: ratio %v", r.Ratio)
	}
}

func TestSpreadAndNoise(t *testing.T) {
	for _, c := range []struct {
		v    []float64
		want float64
	}{{nil, 0}, {[]float64{5}, 0}, {[]float64{0, 0}, 0}, {[]float64{9, 10, 11}, 10}, {[]float64{10, 100, 10, 9, 11}, 10}} {
		if got := harness.Spread(c.v); !near(got, c.want) {
			t.Errorf("spread of %v is %v, want %v", c.v, got, c.want)
		}
	}
	rounds := func(ns ...float64) (f []harness.Figures) {
		for _, v := range ns {
			f = append(f, harness.Figures{"ns": v})
		}
		return f
	}
	if r := result("", rounds(99, 100, 101), rounds(99, 100, 101)); r.Noisy {
		t.Errorf("%+v", r)
	}
	if r := result("", rounds(60, 100, 140), nil); !r.Noisy {
		t.Errorf("its own rounds differ: %+v", r)
	}
	if r := result("", rounds(100, 100, 100), rounds(60, 100, 140)); !r.Noisy {
		t.Errorf("its ratios differ: %+v", r)
	}
}

func TestEveryRowsNameIsUnique(t *testing.T) {
	seen, ids := map[string]bool{}, map[string]bool{}
	for _, g := range allGroups() {
		if ids[g.id] || g.id == "" || g.title == "" {
			t.Errorf("group %q", g.id)
		}
		ids[g.id] = true
		bases := 0
		for _, r := range g.rows {
			name := g.id + "/" + r.name
			if seen[name] || r.name == "" || strings.TrimSpace(r.name) != r.name {
				t.Errorf("row %q", name)
			}
			seen[name] = true
			if r.base {
				bases++
				if !strings.HasPrefix(r.name, "Quiesce ") {
					t.Errorf("%s has ratio 1.00", name)
				}
			}
			if (r.goChild == "") == (r.prog.Source == "") {
				t.Errorf("%s is in Go or in C", name)
			}
			if r.goChild != "" && children[r.goChild] == nil {
				t.Errorf("%s has no measurement %q", name, r.goChild)
			}
			if r.goChild == "" {
				if _, err := fs.ReadFile(sources, r.prog.Source); err != nil {
					t.Error(err)
				}
			}
		}
		if bases != 1 {
			t.Errorf("%s has %d rows with ratio 1.00", g.id, bases)
		}
	}
}

func TestRunSelectsRowsAndTheirBase(t *testing.T) {
	got := choose(allGroups(), regexp.MustCompile("^hot/.*jemalloc"))
	if len(got) != 1 || got[0].id != "hot" || len(got[0].rows) != 2 || !got[0].rows[0].base || got[0].rows[1].name != "C, jemalloc" {
		t.Errorf("%+v", got)
	}
	if got := choose(allGroups(), regexp.MustCompile("nobody")); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

// fakeCC makes a directory for PATH with a compiler that fails when a word of
// its arguments contains one of the patterns.
func fakeCC(t *testing.T, fails ...string) string {
	t.Helper()
	script := "#!/bin/sh\ncase \"$*\" in\n"
	for _, f := range fails {
		script += "*" + f + "*) exit 1;;\n"
	}
	script += "esac\nexit 0\n"
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "cc"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAbsentPeersAreLeftOutWithOneLine(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere all C peers are left out")
	}
	all := 0
	inGo := 0
	for _, g := range allGroups() {
		for _, r := range g.rows {
			all++
			if r.goChild != "" {
				inGo++
			}
		}
	}
	for _, c := range []struct {
		name, path string
		want       []string // packages
	}{
		{"no compiler", t.TempDir(), []string{harness.CompilerPackages}},
		{"a compiler that does nothing right", fakeCC(t, ""), []string{harness.CompilerPackages}},
		{"all there", fakeCC(t, "nothing"), nil},
		{"no liburcu", fakeCC(t, "-lurcu"), []string{"liburcu-dev"}},
		{"only glibc", fakeCC(t, "-lurcu", "-lck", "-ljemalloc", "-lmimalloc"), []string{"liburcu-dev", "libck-dev", "libjemalloc-dev", "libmimalloc-dev"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("PATH", c.path)
			cc, err := harness.NewCompiler(context.Background(), t.TempDir(), sources, packages)
			if err != nil {
				t.Fatal(err)
			}
			there, skipped := present(allGroups(), cc)
			var names []string
			out := 0
			for _, s := range skipped {
				names = append(names, s.Package)
				out += len(s.Rows)
				if line := s.String(); strings.Contains(line, "\n") || !strings.Contains(line, "apt-get install "+s.Package) {
					t.Errorf("%q", line)
				}
			}
			slices.Sort(names)
			want := slices.Sorted(slices.Values(c.want))
			if !slices.Equal(names, want) {
				t.Errorf("left out because of %q, want %q", names, want)
			}
			left := 0
			for _, g := range there {
				left += len(g.rows)
			}
			if left+out != all || left < inGo || len(c.want) > 0 && c.want[0] == harness.CompilerPackages && left != inGo {
				t.Errorf("%d rows left and %d out, of %d and %d in Go", left, out, all, inGo)
			}
		})
	}
}

func TestWithoutACompilerTheGoRowsAreMeasured(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	out, errs, status := harnesstest.Run(t, nil, "-quick", "-count", "2", "-run", "^hot/(.*Pool|C, )")
	if status != 0 || strings.Count(errs, "left out") != 1 {
		t.Errorf("status %d, %s", status, errs)
	}
	for _, want := range []string{"Quiesce Alloc, Free", "1.00", "Go sync.Pool", "QUICK", "not measured: 3 rows"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
}

// Every measurement in Go works, in each group that has it.
func TestEveryGoRowMeasures(t *testing.T) {
	if testing.Short() {
		t.Skip("some seconds")
	}
	var cc *harness.Compiler
	for _, g := range allGroups() {
		for _, r := range g.rows {
			if r.goChild == "" {
				continue
			}
			s := g.sized(&r, options{})
			s.ns, s.batches, s.objects = 50e3, 2, min(s.objects, 2000)
			f, err := runRow(context.Background(), os.Args[0], cc, &r, s)
			if err != nil || f["ns"] <= 0 {
				t.Errorf("%s/%s: %v, %v", g.id, r.name, f, err)
			}
			for _, k := range []string{"whole", "enqueue", "reclaim", "write"} {
				if _, ok := f[k]; ok != (g.id == "flood") {
					t.Errorf("%s/%s: figure %s: %v", g.id, r.name, k, ok)
				}
			}
		}
	}
}

// Where the compiler and the packages are there, the C programs work too. One
// that does not compile would be seen by its users only.
func TestEveryCRowMeasures(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles")
	}
	cc, err := harness.NewCompiler(context.Background(), t.TempDir(), sources, packages)
	if err != nil {
		t.Fatal(err)
	}
	there, skipped := present(allGroups(), cc)
	for _, s := range skipped {
		t.Log(s)
	}
	seen := map[string]bool{}
	for _, g := range there {
		for _, r := range g.rows {
			s := g.sized(&r, options{})
			s.ns, s.batches, s.objects = 50e3, 2, min(s.objects, 2000)
			key := fmt.Sprint(r.prog, s)
			if r.goChild != "" || seen[key] {
				continue
			}
			seen[key] = true
			if f, err := runRow(context.Background(), "", cc, &r, s); err != nil || f["ns"] <= 0 {
				t.Errorf("%s/%s: %v, %v", g.id, r.name, f, err)
			}
		}
	}
}

func TestARowThatFailsIsTold(t *testing.T) {
	r := row{name: "broken", goChild: "nothing"}
	_, err := runRow(context.Background(), os.Args[0], nil, &r, short.of("hot", 1))
	if err == nil || !strings.Contains(err.Error(), "no such measurement") {
		t.Error(err)
	}
	for _, args := range [][]string{nil, {"alloc/new", "hot", "x", "1", "1"}, {"alloc/new", "hot", "1", "0", "1"},
		{"alloc/new", "hot", "1", "1", "-1"}, {"alloc/new", "cold", "1", "1", "1"}, {"gp/rcu", "hot", "1", "1", "1"}} {
		var out, errs bytes.Buffer
		if status := child(args, &out, &errs); status != harness.ExitFailed || out.Len() > 0 || strings.Count(errs.String(), "\n") != 1 {
			t.Errorf("%q: status %d, %q, %q", args, status, out.String(), errs.String())
		}
	}
}

func TestJSONIsOneObject(t *testing.T) {
	out, errs, status := harnesstest.Run(t, nil, "-json", "-quick", "-count=1", "-run", "^flood/Quiesce.*kfree_bulk")
	if status != 0 {
		t.Fatalf("status %d: %s", status, errs)
	}
	var rep Report
	harnesstest.JSON(t, out, &rep)
	if len(rep.Groups) != 1 || len(rep.Groups[0].Rows) != 2 || rep.Groups[0].Rows[0].Ratio != 1 || rep.Partial || rep.Objects != floodObjects/10 {
		t.Fatalf("%+v", rep)
	}
	// The cold figures are always together.
	for _, r := range rep.Groups[0].Rows {
		if r.NS <= 0 || r.Figures["enqueue"] <= 0 || r.Figures["reclaim"] <= 0 || r.Figures["write"] <= 0 || r.Figures["whole"] <= r.NS {
			t.Errorf("%+v", r)
		}
	}
}

func TestBadUseIsOneLineAndStatusTwo(t *testing.T) {
	harnesstest.CommonBadUse(t, command)
	harnesstest.BadUse(t, command, `"many"`, "-count", "many")
	harnesstest.BadUse(t, command, "rows go with -run", "readers")
}

func TestHelpAndList(t *testing.T) {
	help := harnesstest.Help(t, command, new(options).flags())
	for _, p := range packages {
		if !strings.Contains(help, p.Name) {
			t.Errorf("-h does not tell of %s", p.Name)
		}
	}
	var out, errs bytes.Buffer
	if status := command([]string{"-list", "-run", "^call/"}, &out, &errs); status != 0 ||
		out.String() != "call/Quiesce rcu.Call\ncall/C liburcu-memb call_rcu\n" {
		t.Errorf("status %d, %q", status, out.String())
	}
}

// Ctrl-C ends a run with the table so far, and leaves no files.
func TestInterruptedItPrintsTheTableSoFar(t *testing.T) {
	tmp, path := t.TempDir(), t.TempDir()
	interrupt := func(sig os.Signal, after time.Duration) (out string, status int) {
		cmd := harnesstest.Start([]string{"TMPDIR=" + tmp, "PATH=" + path}, "-count", "10000", "-run", "Quiesce Alloc, Free$")
		var b bytes.Buffer
		cmd.Stdout = &b
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Process.Kill()
		time.Sleep(after)
		if err := cmd.Process.Signal(sig); err != nil {
			t.Skip(err)
		}
		_ = cmd.Wait()
		return b.String(), cmd.ProcessState.ExitCode()
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		out, status := interrupt(sig, time.Second)
		if !strings.Contains(out, "Quiesce Alloc, Free") { // a slow machine
			out, status = interrupt(sig, 15*time.Second)
		}
		if status != harness.ExitInterrupted || !strings.Contains(out, "PARTIAL") || !strings.Contains(out, "Quiesce Alloc, Free") {
			t.Errorf("%v: status %d, %s", sig, status, out)
		}
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}
