package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"quiesce/bench/internal/harness"
	"quiesce/bench/internal/harness/harnesstest"
)

func TestMain(m *testing.M) { harnesstest.Main(m, childArg, child, command) }

// command in a process of its own, on a machine without a C compiler.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	return harnesstest.Run(t, []string{"PATH=" + t.TempDir()}, args...)
}

func goPeers() (ps []*peer) {
	for i := range subjects {
		if !subjects[i].inC {
			ps = append(ps, &subjects[i])
		}
	}
	return ps
}

func everyMap[K key](t *testing.T) {
	const n = 3000
	order := shuffled(n, n)
	there, absent := probesOf[K](order, 0), probesOf[K](order, n)
	for _, p := range goPeers() {
		t.Run(p.id, func(t *testing.T) {
			m, err := newTable[K](p, n/2)
			if err != nil {
				t.Fatal(err)
			}
			if r := m.put(there); r != 0 {
				t.Fatalf("%d of %d keys refused", r, n)
			}
			other := probes[K]{there.keys, slices.Clone(there.vals)}
			for i := range other.vals {
				other.vals[i] += n
			}
			if len(m.ways()) != len(p.names) {
				t.Fatalf("%d ways, %d names", len(m.ways()), len(p.names))
			}
			check := func(w way[K], p probes[K], want int, what string) {
				t.Helper()
				if got := w.hit(p); got != want {
					t.Errorf("%s, %s: %d wrong hits, want %d", w.name, what, got, want)
				}
			}
			for i, w := range m.ways() {
				if w.name != p.names[i].way {
					t.Errorf("way %d is %q, its name is %v", i, w.name, p.names[i])
				}
				check(w, there, 0, "keys that are there")
				check(w, other, n, "other values")
				check(w, absent, n, "keys that are not there")
				if a, b := w.miss(absent.keys), w.miss(there.keys); a != 0 || b != n {
					t.Errorf("%s: %d wrong misses, want 0; of keys that are there %d, want %d", w.name, a, b, n)
				}
			}
			m.put(other)
			m.del(there.keys[:n/2])
			for _, w := range m.ways() {
				check(w, other, n/2, "replaced, and half of them deleted")
				check(w, other.slice(n/2, n), 0, "replaced")
			}
			if err := m.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEveryMapFindsWhatIsThere(t *testing.T) {
	t.Run("uint64", everyMap[uint64])
	t.Run("string", everyMap[string])
}

func TestEveryMapKeepsTexts(t *testing.T) {
	const n = 500
	for _, p := range goPeers() {
		m, err := p.texts(n)
		if err != nil {
			t.Fatal(err)
		}
		name := func(i int) string { return string(appendKey(nil, textPrefix, i)) }
		for i := range n {
			if !m.put(name(i), textOf(i)) {
				t.Fatalf("%s: refused", p.id)
			}
		}
		for i := range n {
			if !m.get(name(i), func(v []byte) bool { return bytes.Equal(v, textOf(i)) && isTextOf(v, i) && !isTextOf(v, i+1) }) {
				t.Errorf("%s: key %d", p.id, i)
			}
		}
		if m.get(name(n), func([]byte) bool { return true }) {
			t.Errorf("%s: found what is not there", p.id)
		}
		if err := m.close(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeys(t *testing.T) {
	const n = 10_000
	order := shuffled(n, n)
	if slices.IsSorted(order) || !slices.Equal(order, shuffled(n, n)) || len(shuffled(n, 10)) != 10 {
		t.Error("the order is the same in every run, and not sorted")
	}
	slices.Sort(order)
	for i, v := range order {
		if int(v) != i {
			t.Fatalf("number %d is missing", i)
		}
	}
	ints, strs := map[uint64]bool{}, map[string]bool{}
	p := probesOf[string](order, 5)
	for i := range n {
		ints[keyOf[uint64](i)], strs[keyOf[string](i)] = true, true
		if p.keys[i] != keyOf[string](i+5) || p.vals[i] != valueOf(i+5) || len(p.keys[i]) != 29 {
			t.Fatalf("key %d: %q, %d", i+5, p.keys[i], p.vals[i])
		}
	}
	if len(ints) != n || len(strs) != n {
		t.Errorf("%d and %d different keys, want %d", len(ints), len(strs), n)
	}
	if k := appendKey(nil, textPrefix, 1); len(k) != 21 {
		t.Errorf("%q", k)
	}
}

// tiny is a child's task that takes milliseconds.
func tiny(id, mode string, keys int) []string {
	return []string{id, mode, "20000", "1", fmt.Sprint(keys)}
}

// Every figure of the table is one that each child prints.
func TestEveryWorkIsMeasuredOfEveryMap(t *testing.T) {
	groups := allGroups(options{keys: []int{300}, grow: 100, rss: 400})
	for _, r := range runsOf(groups) {
		for _, p := range r.peers {
			if p.inC {
				continue
			}
			var out, errs bytes.Buffer
			status := child(tiny(p.id, r.mode(), r.keys), &out, &errs)
			f, err := harness.ParseFigures(out.String(), "ok")
			if status != harness.ExitOK || err != nil {
				t.Errorf("%s of %s: status %d, %v, %s", r.mode(), p.id, status, err, errs.String())
				continue
			}
			wantFigures(t, groups, r.job, p, f)
		}
	}
}

func wantFigures(t *testing.T, groups []group, j job, p *peer, f harness.Figures) {
	t.Helper()
	for _, g := range groups {
		for _, row := range g.rows {
			for _, c := range g.columns {
				if _, ok := f[c.name(row.way)]; row.peer == p && c.job == j && !ok {
					t.Errorf("%s: no figure %s of %s in %v", g.id, c.name(row.way), row.name, f)
				}
			}
		}
	}
}

// Where the compiler and liburcu are there, the C program measures as much.
func TestEveryWorkIsMeasuredInC(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles")
	}
	groups := allGroups(options{keys: []int{300}, grow: 100, rss: 400})
	runs := runsOf(groups)
	file, why, err := cProgram(context.Background(), t.TempDir(), runs)
	if err != nil {
		t.Fatal(err)
	}
	if why != "" {
		t.Skip(why)
	}
	for _, r := range runs {
		for _, p := range r.peers {
			if !p.inC {
				continue
			}
			f, err := harness.RunChild(context.Background(), childTimeout, "ok", file, tiny(p.id, r.mode(), r.keys)[1:]...)
			if err != nil {
				t.Errorf("%s: %v", r.mode(), err)
				continue
			}
			wantFigures(t, groups, r.job, p, f)
		}
	}
}

// forgetful is a map that finds nothing.
type forgetful struct{ bare[uint64] }

func (forgetful) put(probes[uint64]) int { return 0 }

func TestAWrongResultEndsTheRun(t *testing.T) {
	saved := subjects
	defer func() { subjects = saved }()
	p := goPeer("forgetful", "forgetful", [2]int{1, 1}, 1, func(int) (table[uint64], error) { return forgetful{}, nil }, nil, nil)
	subjects = append(slices.Clone(subjects), p)
	for _, mode := range []string{"uint64:hit.1,", "grow", "rss"} {
		var out, errs bytes.Buffer
		if status := child(tiny("forgetful", mode, 100), &out, &errs); status != harness.ExitWrong || !strings.Contains(errs.String(), "WRONG RESULT") {
			t.Errorf("%s: status %d, %q", mode, status, errs.String())
		}
	}

	r := run{job: job{kindUint64, 100}, peers: []*peer{&subjects[0], &subjects[1], &subjects[2]}}
	rep, calls := new(Report), 0
	err := rep.rounds(context.Background(), &r, 3, results{}, func(p *peer) (harness.Figures, error) {
		calls++
		if p == r.peers[1] {
			return nil, exec.Command("/bin/sh", "-c", fmt.Sprintf("exit %d", harness.ExitWrong)).Run()
		}
		return harness.Figures{"ok": 1}, nil
	})
	if !errors.Is(err, errWrong) || calls != 2 || len(rep.Failed) != 1 {
		t.Errorf("%v after %d children, failed: %q", err, calls, rep.Failed)
	}
}

func TestAMapThatFailsIsNotMeasuredAgain(t *testing.T) {
	r := run{job: job{kindUint64, 100}, peers: []*peer{&subjects[0], &subjects[1]}}
	rep, all, calls := new(Report), results{}, 0
	err := rep.rounds(context.Background(), &r, 3, all, func(p *peer) (harness.Figures, error) {
		calls++
		if p == r.peers[1] {
			return nil, errors.New("no memory")
		}
		return harness.Figures{"ok": 1}, nil
	})
	if err != nil || calls != 4 || len(rep.Failed) != 1 || len(all[resultKey{r.job, r.peers[0].id}]) != 3 {
		t.Errorf("%v after %d children, failed: %q, %v", err, calls, rep.Failed, all)
	}
}

// An interrupted run keeps the rounds so far, and leaves no files.
func TestInterruptedItKeepsWhatItHas(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	r := run{job: job{kindUint64, 100}, peers: []*peer{&subjects[0], &subjects[1]}}
	rep, all, calls := new(Report), results{}, 0
	err := rep.rounds(ctx, &r, 3, all, func(p *peer) (harness.Figures, error) {
		if calls++; calls == 2 {
			interrupt()
			return nil, ctx.Err()
		}
		return harness.Figures{"ok": 1}, nil
	})
	if err != nil || calls != 2 || len(rep.Failed) != 0 || all[resultKey{r.job, subjects[0].id}] == nil {
		t.Errorf("%v after %d children, failed: %q, %v", err, calls, rep.Failed, all)
	}

	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	o := options{count: 3, keys: []int{1000}, grow: 1000, rss: 1000}
	rep, err = measure(ctx, choose(allGroups(o), regexp.MustCompile("uint64/hit/1/xsync")), o, io.Discard)
	if err != nil || !rep.Partial || len(rep.Groups) != 0 {
		t.Errorf("interrupted before it began: %v, %+v", err, rep)
	}
	if left, _ := os.ReadDir(tmp); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestWhatDoesNotFitIsLeftOut(t *testing.T) {
	rep, show := new(Report), harness.NewProgress("maps", io.Discard)
	r := run{job: job{kindString, mostKeys}, peers: []*peer{&subjects[0], &subjects[1]}}
	if available(r.peers[1]) == 0 || available(r.peers[1]) > float64(r.needs(r.peers[1])) {
		t.Skip("the machine does not tell, or is large enough")
	}
	if there := rep.possible(show, &r, true); len(there) != 0 || len(rep.Skipped) != 2 || !strings.Contains(rep.Skipped[0], "needs about") {
		t.Errorf("%v, %q", there, rep.Skipped)
	}
	r.keys = 1000
	if there := rep.possible(show, &r, true); len(there) != 2 {
		t.Errorf("%v, %q", there, rep.Skipped)
	}
}

func TestTheCommandPrintsATableOf80Columns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "maps.svg")
	out, errs, status := runCommand(t, "-short", "-keys", "200,1k", "-run", "uint64/hit/2/.*(xsync|C )|rss/map", "-svg", file)
	if status != harness.ExitOK || strings.Count(errs, "left out") != 1 {
		t.Errorf("status %d, %s", status, errs)
	}
	for _, want := range []string{"Look-ups that hit, uint64 keys, 2 goroutines", "rcuhash, ReadLock each", "1.00", "xsync.Map v4",
		"SHORT", "map + RWMutex", "not measured: C rculfhash"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	harnesstest.Fits(t, out)
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
	if svg, err := os.ReadFile(file); err != nil || !bytes.HasPrefix(svg, []byte("<svg")) || !bytes.Contains(svg, []byte("xsync.Map v4")) {
		t.Errorf("the chart: %v, %.100s", err, svg)
	}
}

func TestJSONIsOneObject(t *testing.T) {
	out, errs, status := runCommand(t, "-short", "-json", "-count=2", "-keys", "1k", "-run", "^uint64/miss/1/xsync")
	if status != harness.ExitOK {
		t.Fatalf("status %d: %s", status, errs)
	}
	var rep Report
	harnesstest.JSON(t, out, &rep)
	if len(rep.Groups) != 1 || len(rep.Groups[0].Rows) != 2 || len(rep.Verdicts) != len(targets()) || rep.Partial {
		t.Fatalf("%+v", rep)
	}
	for i, r := range rep.Groups[0].Rows {
		if c := r.Cells[0]; c.Value <= 0 || c.Ratio <= 0 || len(c.Rounds) != 2 || r.Base != (i == 0) {
			t.Errorf("%+v", r)
		}
	}
}

func TestBadUseIsOneLineAndStatusTwo(t *testing.T) {
	harnesstest.CommonBadUse(t, command)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-keys", "1k,many"}, `"many"`},
		{[]string{"-keys", "10"}, `"10"`},
		{[]string{"-keys", "-1k"}, `"-1k"`},
		{[]string{"-keys", "9999999999M"}, "9999999999M"},
		{[]string{"uint64"}, "works go with -run"},
	} {
		harnesstest.BadUse(t, command, c.want, c.args...)
	}
	if got, err := parseSizes("1k, 64k,8M,500"); err != nil || !slices.Equal(got, []int{1000, 64_000, 8_000_000, 500}) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestHelpAndList(t *testing.T) {
	harnesstest.Help(t, command, new(options).flags())
	var out, errs bytes.Buffer
	if status := command([]string{"-list", "-run", "^grow/(xsync|rcu)"}, &out, &errs); status != 0 ||
		out.String() != "grow/rcuhash, ReadLock each\ngrow/xsync.Map v4\n" {
		t.Errorf("status %d, %q", status, out.String())
	}
}

func TestEveryGroupComparesWithOneRow(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range allGroups(options{keys: []int{1000}, grow: 1000, rss: 1000}) {
		bases := 0
		for _, r := range g.rows {
			name := g.id + "/" + r.name
			if seen[name] || len([]rune(r.name)) > 22 {
				t.Errorf("row %q", name)
			}
			seen[name] = true
			if r.base {
				bases++
			}
		}
		if bases != 1 || !g.rows[0].base || g.rows[0].peer != &subjects[0] {
			t.Errorf("%s: %d rows with ratio 1.00", g.id, bases)
		}
	}
	got := choose(allGroups(options{keys: []int{1000}}), regexp.MustCompile("^string/put/1/sync"))
	if len(got) != 1 || len(got[0].rows) != 2 || got[0].rows[1].name != "sync.Map" {
		t.Errorf("%+v", got)
	}
}
