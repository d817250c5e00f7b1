package scale

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"regexp"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
)

var background = context.Background()

func TestQuantilesMediansAndSpread(t *testing.T) {
	v := []float64{1, 2, 3, 4}
	for _, c := range []struct{ got, want float64 }{
		{kit.Quantile(v, 0), 1}, {kit.Quantile(v, 0.5), 2}, {kit.Quantile(v, 0.51), 3}, {kit.Quantile(v, 1), 4}, {kit.Quantile(nil, 0.5), 0},
		{kit.Median(v), 2.5}, {kit.Median([]float64{9, 1, 5}), 5}, {kit.Median(nil), 0}, {kit.Mean(v), 2.5},
		{majoritySpread([]float64{100, 100, 100, 900, 1}), 0},
		{majoritySpread([]float64{5}), 0}, {majoritySpread([]float64{0, 0, 0}), 0},
	} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
	if s := majoritySpread([]float64{1, 2, 4, 8, 16}); s <= noisyFrom {
		t.Errorf("doublings have a spread of %v", s)
	}
}

func TestKfreeOfEveryWay(t *testing.T) {
	small := KfreeConfig{Threads: 2, AllocNum: 200, Loops: 5, Mult: 1}
	for name, change := range map[string]func(*KfreeConfig){
		"default": func(*KfreeConfig) {},
		"double":  func(c *KfreeConfig) { c.Double = true },
		"single":  func(c *KfreeConfig) { c.Single = true },
		"mixed":   func(c *KfreeConfig) { c.Single, c.Double = true, true },
		"mult":    func(c *KfreeConfig) { c.Mult = 85 },
		"vary":    func(c *KfreeConfig) { c.VarySize = true },
		"call":    func(c *KfreeConfig) { c.ByCallRCU = true },
		"list":    func(c *KfreeConfig) { c.Strategy = "list" },
		"sheaf":   func(c *KfreeConfig) { c.Strategy = "sheaf" },
		"runtime": func(c *KfreeConfig) { c.MinRuntime = 20 * time.Millisecond },
	} {
		cfg := small
		change(&cfg)
		r, err := Kfree(background, cfg, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if r.Objects < 2000 || name != "runtime" && r.Objects != 2000 || r.LoopsDone*200 != r.Objects || r.Partial {
			t.Errorf("%s: %d objects in %d loops", name, r.Objects, r.LoopsDone)
		}
		if r.QueuedNS <= 0 || r.ReclaimedNS < r.QueuedNS || r.BatchesAll < r.Batches || r.Peak <= 0 {
			t.Errorf("%s: %+v", name, r)
		}
		if name != "call" && r.Arrays+r.Fallback != uint64(r.Objects) {
			t.Errorf("%s: %d in arrays, %d on the fallback, of %d", name, r.Arrays, r.Fallback, r.Objects)
		}
	}
}

func TestKfreesSummaryLineIsTheKernels(t *testing.T) {
	r := KfreeReport{QueuedNS: 8536000000, Batches: 1188, Footprint: 2248 << 20}
	r.Loops = 10000
	want := "Total time taken by all kfree'ers: 8536000000 ns, loops: 10000, batches: 1188, memory footprint: 2248 MB"
	if got := r.SummaryLine(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestPresets(t *testing.T) {
	cfg, p, err := FindPreset("xeon", 100)
	if err != nil || cfg.Loops != 2000 || cfg.AllocNum != 1000 || cfg.Threads != 12 || !cfg.VarySize || cfg.Scale != 100 {
		t.Errorf("%+v %v", cfg, err)
	}
	if ns := p.NSPerObject(p.Runs[0]); math.Abs(ns-22.32) > 0.01 {
		t.Errorf("the Xeon took %.2f ns for an object of SLAB's list", ns)
	}
	for _, p := range Presets {
		cfg, _, err := FindPreset(p.Name, 1<<30)
		if err != nil || cfg.Loops != 1 || cfg.check() != nil || p.Source == "" || len(p.Runs) < 2 {
			t.Errorf("%s: %+v %v", p.Name, cfg, err)
		}
	}
	for _, bad := range []struct {
		name string
		by   int
	}{{"none", 1}, {"xeon", 0}} {
		if _, _, err := FindPreset(bad.name, bad.by); !isInput(err) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func isInput(err error) bool {
	input := (*InputError)(nil)
	return errors.As(err, &input)
}

func TestBadParametersAreInputErrors(t *testing.T) {
	good := KfreeConfig{Threads: 1, AllocNum: 1, Loops: 1, Mult: 1}
	for i, change := range []func(*KfreeConfig){
		func(c *KfreeConfig) { c.Threads = 0 },
		func(c *KfreeConfig) { c.AllocNum = -1 },
		func(c *KfreeConfig) { c.Loops = 0 },
		func(c *KfreeConfig) { c.Mult = 86 },
		func(c *KfreeConfig) { c.Holdoff = -1 },
		func(c *KfreeConfig) { c.Mult, c.VarySize = 2, true },
		func(c *KfreeConfig) { c.ByCallRCU, c.Single = true, true },
		func(c *KfreeConfig) { c.Strategy, c.VarySize = "list", true },
		func(c *KfreeConfig) { c.Strategy = "none" },
	} {
		c := good
		change(&c)
		if _, err := Kfree(background, c, nil); !isInput(err) {
			t.Errorf("%d: %v", i, err)
		}
	}
	if _, err := Read(background, ReadConfig{Loops: 1, NReaders: 1, NRuns: 1, Types: []string{"none"}}, nil); !isInput(err) {
		t.Error(err)
	}
	if _, err := GP(background, GPConfig{NWriters: 1, AsyncMax: 1, Async: true, Exp: true}, nil); !isInput(err) {
		t.Error(err)
	}
	if _, err := Alloc(background, AllocConfig{Sizes: []int{65}, Repeats: 1}, nil); !isInput(err) {
		t.Error(err)
	}
	if _, err := Check(background, CheckConfig{Repeats: 4, Objects: 1e6, Live: 1e6}, nil); !isInput(err) {
		t.Error(err)
	}
	if _, err := Check(background, CheckConfig{Repeats: 5, Objects: 1e6, Live: 1e6, Match: regexp.MustCompile("none$^")}, nil); !isInput(err) {
		t.Error(err)
	}
}

func TestReadOfEveryType(t *testing.T) {
	r, err := Read(background, ReadConfig{Loops: 100, NReaders: -1, NRuns: 3, ReadDelay: 10}, nil)
	if err != nil || len(r.Results) != len(ReadTypes()) || r.NReaders < 1 || r.Partial {
		t.Fatalf("%+v %v", r, err)
	}
	for _, x := range r.Results {
		if len(x.Runs) != 3 || x.Min < 10 || x.Median < x.Min || x.Max < x.Median || x.Mean > x.Max {
			t.Errorf("%+v", x)
		}
	}
	if r, err = Read(background, ReadConfig{Loops: 100, NReaders: 2, NRuns: 3, Types: []string{"pinned", "rcu"}}, nil); err != nil ||
		len(r.Results) != 2 || r.Results[0].Type != "pinned" {
		t.Errorf("%+v %v", r, err)
	}
}

func TestGPOfEveryWriter(t *testing.T) {
	for _, cfg := range []GPConfig{{}, {Exp: true}, {Async: true}, {WriterHoldoff: time.Microsecond}} {
		cfg.NReaders, cfg.NWriters, cfg.AsyncMax = 1, 2, 10
		r, err := GP(background, cfg, nil)
		if err != nil || r.Measured != 2*minMeas || r.MinNS <= 0 || r.P50NS < r.MinNS || r.P99NS < r.P90NS || r.MaxNS < r.P99NS || r.Batches == 0 {
			t.Errorf("%+v %v", r, err)
		}
	}
}

func TestAllocOfEveryCase(t *testing.T) {
	r, err := Alloc(background, AllocConfig{Sizes: []int{16, 4096}, Repeats: 1}, nil)
	if err != nil || len(r.Results) != 2*len(AllocCases()) {
		t.Fatalf("%+v %v", r, err)
	}
	for _, x := range r.Results {
		if x.NS <= 0 || (x.New > 0) != (x.Case == "hot") {
			t.Errorf("%+v", x)
		}
	}
}

func TestAnEndedContextEndsAllOfThem(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	k, err := Kfree(ctx, KfreeConfig{Threads: 1, AllocNum: 1, Loops: 1, Mult: 1}, nil)
	if err != nil || !k.Partial || k.Objects != 0 {
		t.Errorf("%+v %v", k, err)
	}
	if r, err := Read(ctx, ReadConfig{Loops: 1, NReaders: 1, NRuns: 1}, nil); err != nil || !r.Partial {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := GP(ctx, GPConfig{NWriters: 1, AsyncMax: 1}, nil); err != nil || !r.Partial {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := Alloc(ctx, AllocConfig{Sizes: []int{16}, Repeats: 1}, nil); err != nil || !r.Partial {
		t.Errorf("%+v %v", r, err)
	}
	if r, err := Check(ctx, CheckConfig{Repeats: 5, Objects: 1e6, Live: 1e6}, nil); err != nil || !r.Partial || len(r.Rows) != 0 {
		t.Errorf("%+v %v", r, err)
	}
}

func TestVerdicts(t *testing.T) {
	steady, wild := []float64{9, 10, 10, 10, 11}, []float64{1, 2, 4, 8, 16}
	for _, c := range []struct {
		f       Figure
		verdict string
		unsure  bool
		missBy  float64
	}{
		{Figure{Limit: 10, Target: true, Repeats: steady}, VerdictOK, false, 0},
		{Figure{Limit: 8, Target: true, Repeats: steady}, VerdictMiss, false, 0.25},
		{Figure{Limit: 20, Target: true, AtLeast: true, Repeats: steady}, VerdictMiss, false, 0.5},
		{Figure{Limit: 10, Target: true, AtLeast: true, Repeats: steady}, VerdictOK, false, 0},
		{Figure{Limit: 3, Target: true, Repeats: wild}, VerdictNoisy, false, 0},
		{Figure{Limit: 16, Target: true, Repeats: wild}, VerdictOK, true, 0},
		{Figure{Limit: 0.5, Target: true, Repeats: wild}, VerdictMiss, true, 7},
		{Figure{Repeats: wild}, VerdictTold, true, 0},
		{Figure{Limit: 0, Target: true, Repeats: []float64{0, 0, 0, 0, 0}}, VerdictOK, false, 0},
		{Figure{Limit: 0, Target: true, Repeats: []float64{1, 1, 1, 1, 1}}, VerdictMiss, false, 0},
		{Figure{Limit: 10, Target: true, Repeats: steady[:4]}, VerdictNoisy, false, 0}, // too few
	} {
		f := c.f
		f.judge(9)
		if f.Verdict != c.verdict || f.Unsure != c.unsure || math.Abs(f.MissBy-c.missBy) > 1e-9 {
			t.Errorf("%+v: want %q", f, c.verdict)
		}
	}
}

// Every row is run with little to do; what it finds is not checked.
func TestEveryRowOfTheTable(t *testing.T) {
	if testing.Short() {
		t.Skip("half a minute")
	}
	r, err := Check(background, CheckConfig{Repeats: 5, Objects: 10_000, Live: 10_000, Match: regexp.MustCompile("^[^c]|churn|cold"), idle: 40 * time.Millisecond}, nil)
	if err != nil || len(r.Rows) < len(CheckRows())-1 {
		t.Fatalf("%+v %v", r, err)
	}
	for _, row := range r.Rows {
		if row.Command == "" || len(row.Figures) == 0 {
			t.Errorf("%+v", row)
		}
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestTheRowsHaveNamesCommandsAndFigures(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range checkRows {
		if r.name == "" || r.command == "" || len(r.figures) == 0 || r.open == nil || seen[r.name] {
			t.Errorf("row %q", r.name)
		}
		seen[r.name] = true
	}
}
