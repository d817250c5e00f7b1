package torture

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/testkit"
)

// A test binary that is called like a child is one.
func TestMain(m *testing.M) {
	if _, ok := kit.ChildJob(os.Args[1:]); ok {
		os.Exit(Child(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func config(t *testing.T, list string, d time.Duration, params string) Config {
	t.Helper()
	found, err := Find(list)
	if err != nil {
		t.Fatal(err)
	}
	return Config{Scenarios: found, Duration: d, Seed: 42, Fault: 10, Params: params, Child: append([]string{os.Args[0]}, kit.ChildArgs("torture")...)}
}

func mustRun(t *testing.T, cfg Config) *Report {
	t.Helper()
	rep, err := Run(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// turnOf is how long each scenario runs here; longer runs are the command's.
func turnOf() time.Duration {
	if testkit.Long() {
		return time.Second
	}
	return minTurn
}

func TestEveryScenarioIsASuccess(t *testing.T) {
	cfg := config(t, "", 1, "")
	cfg.Duration = turnOf() * time.Duration(len(cfg.Scenarios))
	rep := mustRun(t, cfg)
	for _, r := range rep.Results {
		var b strings.Builder
		r.Summary(&b)
		if !r.OK || r.Verdict != success || r.Rounds != 1 {
			t.Errorf("%s\n%s", b.String(), r.Log)
			continue
		}
		if r.Reads == 0 || r.GPs == 0 || r.RanS == 0 {
			t.Errorf("%s: nothing was tested:\n%s", r.Scenario, b.String())
		}
		for _, label := range []string{"rtc: ", "ver: ", "tfle: ", "rta: ", "rtaf: ", "rtf: ", "rtmbe: 0", "rtbe: 0",
			"rtbke: ", "rtbf: ", "rtb: ", "nt: ", "Reader Pipe: ", "Reader Batch: ", "Free-Block Circulation: ", "SUCCESS"} {
			if !strings.Contains(b.String(), label) {
				t.Errorf("%s: no %q in the summary", r.Scenario, label)
			}
		}
		if strings.Contains(b.String(), "!!!") {
			t.Errorf("%s: a success with !!!:\n%s", r.Scenario, b.String())
		}
	}
	if !rep.OK || rep.Partial {
		t.Error("the report is not ok")
	}
	if _, err := json.Marshal(rep); err != nil {
		t.Error(err)
	}
}

// What is broken on purpose is seen, by the checks that are there for it.
func TestWhatIsBrokenFailsWithinSeconds(t *testing.T) {
	for _, c := range []struct {
		list, params string
		kinds        []int    // of readers: one of them at least
		others       []string // or one of these
	}{
		{"BUSTED", "", []int{wrongAge, wrongGen, wrongMark, wrongBatch, wrongStamp}, nil},
		{"BUSTED", "extendables=4 kfree_nthreads=0 fwd_progress=0", []int{wrongAge, wrongGen, wrongMark, wrongBatch}, nil},
		{"PLANT-UAF", "", []int{wrongAge, wrongGen, wrongMark, wrongStamp}, nil},
		{"TREE01", "plant_hang=1 watchdog=1 fwd_progress=0", nil, []string{"hang"}},
		{"TREE01", "plant_lost=1 fwd_progress=0", nil, []string{"leak"}},
	} {
		t.Run(c.list+" "+c.params, func(t *testing.T) {
			d := 20 * time.Second // it ends with its first failure
			if strings.Contains(c.params, "lost") {
				d = time.Second
			}
			start := time.Now()
			rep := mustRun(t, config(t, c.list, d, c.params))
			r := rep.Results[0]
			t.Logf("%v: %+v", time.Since(start), r.Failures)
			if rep.OK || r.Verdict != failure || !r.Broken {
				t.Errorf("verdict %s, ok %v", r.Verdict, rep.OK)
			}
			want := c.others
			for _, k := range c.kinds {
				want = append(want, wrongNames[k])
			}
			if !slices.ContainsFunc(r.Failures, func(f Failure) bool { return slices.Contains(want, f.Kind) && f.Count > 0 && f.First != "" }) {
				t.Errorf("none of %q among the failures %+v", want, r.Failures)
			}
			if strings.Contains(c.params, "hang") && (!strings.Contains(r.Log, "Writer stall state RTWS_") || !strings.Contains(r.Log, "goroutine ")) {
				t.Errorf("no stacks in the log: %.300s", r.Log)
			}
		})
	}
}

// A process that ends without a result is a failure, reported with its output.
func TestACrashIsAFailure(t *testing.T) {
	cfg := config(t, "TREE01", time.Second, "")
	cfg.Child = []string{os.Args[0], "-no-such-flag"}
	r := mustRun(t, cfg).Results[0]
	if r.OK || len(r.Failures) != 1 || r.Failures[0].Kind != "crash" || !strings.Contains(r.Failures[0].First, "no-such-flag") {
		t.Errorf("%+v", r.Failures)
	}
}

func TestInterruptedItReportsWhatWasDone(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	told := 0
	start := time.Now()
	rep, err := Run(ctx, config(t, "TREE01,TREE02", 10*time.Minute, "stat_interval=0.1"), func(kit.Step) {
		if told++; told == 4 {
			cancel()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK || !rep.Partial || rep.Results[0].Verdict != interrupted || rep.Results[1].Verdict != notRun {
		t.Errorf("%+v", rep)
	}
	if rep.Results[0].Reads == 0 || time.Since(start) > 30*time.Second {
		t.Errorf("%d reads, took %v", rep.Results[0].Reads, time.Since(start))
	}
}

func TestRoundsCoverEveryScenario(t *testing.T) {
	for _, c := range []struct {
		d      time.Duration
		n      int
		rounds int
		length time.Duration
	}{
		{time.Minute, 1, 2, 30 * time.Second},
		{10 * time.Second, 20, 1, minTurn},
		{time.Minute, 20, 1, 3 * time.Second},
		{time.Hour, 20, 6, 30 * time.Second},
	} {
		if r, l := rounds(c.d, c.n); r != c.rounds || l != c.length {
			t.Errorf("%v for %d scenarios: %d rounds of %v, want %d of %v", c.d, c.n, r, l, c.rounds, c.length)
		}
	}
}

// With the same seed each thread decides the same, in the same order.
func TestTheSeedDecides(t *testing.T) {
	draw := func(seed uint64, thread string, id int) (all []plan) {
		p := defaults()
		r := generator(seed, thread, id)
		for range 1000 {
			var pl plan
			pl.draw(r, &p, 4)
			all = append(all, pl)
		}
		return all
	}
	a := draw(1, "reader", 0)
	if !slices.Equal(a, draw(1, "reader", 0)) {
		t.Error("the same seed decides otherwise")
	}
	for _, b := range [][]plan{draw(2, "reader", 0), draw(1, "reader", 1), draw(1, "writer", 0)} {
		if slices.Equal(a, b) {
			t.Error("another seed, thread or number decides the same")
		}
	}
}

// Every plan is within what the library promises, and all that extendables
// names is used.
func TestPlansKeepTheRules(t *testing.T) {
	for _, ext := range []int{extAll, extRCU, extPreempt, extHardirq, extRaw | extIRQ, extRCU | extHand, extPreempt | extBH, extReader, extReader | extRCU, extReader | extPreempt, 0x1e} {
		p := defaults()
		p.extendables, p.sleepers = ext, true
		r := generator(1, "plan", ext)
		used, wraps := 0, 0
		for range 20000 {
			var pl plan
			pl.draw(r, &p, 1)
			guard, reader := true, true // holds the whole section
			used |= pl.wrap
			if pl.hand {
				used |= extHand
			}
			for i := range pl.n {
				s := pl.step[i]
				used |= s.mask
				guard = guard && s.mask&extRCU != 0
				reader = reader && s.mask&extReader != 0
				if s.mask&^ext != 0 {
					t.Fatalf("%#x: not in extendables: %v", ext, &pl)
				}
				if (s.delay == gosched || s.delay == nap) && pl.pinned(s.mask, p.preemptRT) {
					t.Fatalf("%#x: gives its P away while pinned: %v", ext, &pl)
				}
			}
			for i := range pl.n {
				if pl.wrap != extHardirq && !guard && !reader && pl.step[i].mask&extPinned == 0 {
					t.Fatalf("%#x: step %d is not protected: %v", ext, i, &pl)
				}
			}
			if pl.hand && (pl.wrap != 0 || pl.step[pl.n-1].mask != extRCU || !guard) {
				t.Fatalf("%#x: what can't be handed over: %v", ext, &pl)
			}
			wraps |= pl.wrap
		}
		if used|wraps != ext {
			t.Errorf("extendables %#x: only %#x was used", ext, used)
		}
	}
}

// Owners do all that they are there for. On a busy machine they need more time.
func TestOwnersUseTheirSheaves(t *testing.T) {
	for _, name := range []string{"OWNER", "OWNER-LIMIT", "OWNER-FAULT"} {
		for d := turnOf(); ; d *= 4 {
			r := mustRun(t, config(t, name, d, "stutter=0")).Results[0]
			if !r.OK {
				t.Errorf("%s: failures %+v", name, r.Failures)
				break
			}
			o := r.Owner
			if o.Ops > 0 && o.Opened > 0 && o.Closed > 0 && o.Dropped > 0 && o.Handed > 0 && o.Refills > 0 && o.Barriers > 0 &&
				r.Kfree.Freed > 0 && r.Kfree.Direct > 0 && len(r.Kfree.By) == contexts {
				break
			}
			if d > time.Minute {
				t.Errorf("%s: after %v %+v, %+v", name, d, o, r.Kfree)
				break
			}
		}
	}
}
