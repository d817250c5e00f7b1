package predict

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"quiesce/cmd/quiesce/internal/kit"
)

// some are parameters of no machine in particular.
func some() *Params {
	return &Params{
		MembarrierAlone: 500, MembarrierPeer: 12000, IPISteal: 3000, GPFixed: 50, ScanP: 3, Line: 6, DrainSlot: 5,
		Pair: 10, SheafSlow: 100, StackOp: 7, StackTwo: 30, StackRetries: 0.1, SpinAlone: 6, SpinHandoff: 200,
		RefillObj: 2.5, FlushObj: 9, Handover: 370, PageBlock: 90, Pace: 300_000, FreeBulk: 3, AllocOnly: 5, NewPage: 500, Slice: 3e6, SheafCap: 1000,
	}
}

// free makes everything but the Ps' own work cost nothing.
func free() *Params {
	p := some()
	p.MembarrierAlone, p.MembarrierPeer, p.IPISteal, p.GPFixed, p.ScanP, p.Line, p.DrainSlot = 0, 0, 0, 0, 0, 0, 0
	p.SheafSlow, p.StackOp, p.StackTwo, p.StackRetries, p.SpinAlone, p.SpinHandoff = 0, 0, 0, 0, 0, 0
	p.RefillObj, p.FlushObj, p.Handover, p.PageBlock = 0, 0, 0, 0
	return p
}

// unaided is the service without help.
var unaided = Design{NoHelp: true}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s is %v, want %v within %v %%", what, got, want, 100*tolerance)
	}
}

// Without contention the simulation is linear.
func TestWithoutContentionThroughputIsLinear(t *testing.T) {
	for _, n := range []int{2, 8, 64} {
		r := Simulate(free(), Load{Ps: n, Warm: 1e6, Nanos: 20e6, Seed: 1})
		near(t, "throughput", r.Total, float64(n)*1e9/10, 0.02)
	}
}

// With the depot shut and no cost but the refill's section, the lock is the
// one server of a closed network: utilisation and throughput are MVA's bounds.
func TestSaturatedLockServesOneAtATime(t *testing.T) {
	p := free()
	p.RefillObj, p.Pace = 5, 1e8 // 5 µs of lock to 10 µs of work; the worker sleeps
	for _, n := range []int{4, 16, 64} {
		r := Simulate(p, Load{Ps: n, Warm: 1e6, Nanos: 20e6, Seed: 1, Design: unaided})
		near(t, "utilisation of the lock", r.Busy[resLock], 1, 0.02)
		near(t, "throughput", r.Total, 1e9/5, 0.03)
	}
	// Below saturation: one P, no queue. Its cycle is 15 µs, 5 of them locked.
	r := Simulate(p, Load{Ps: 1, Warm: 1e6, Nanos: 20e6, Seed: 1, Design: unaided})
	near(t, "utilisation of the lock", r.Busy[resLock], 1.0/3, 0.02)
}

// Deterministic service queues no more than exponential service does, which is
// what mean value analysis assumes, and no less than the two bounds.
func TestSimulationLiesBetweenTheClosedForms(t *testing.T) {
	p := free()
	p.RefillObj, p.Pace = 2, 1e8
	for n := 2; n <= 10; n++ {
		r := Simulate(p, Load{Ps: n, Warm: 1e6, Nanos: 20e6, Seed: 1, Design: unaided})
		x, _, _ := MVA(n, 10_000, []Station{{resLock, 2000}})
		got, bound := r.Total/1000/1e9, math.Min(float64(n)/12000, 1.0/2000)
		if got < 0.98*x || got > 1.02*bound {
			t.Errorf("%d Ps: %v cycles/ns, want between MVA's %v and the bound %v", n, got, x, bound)
		}
	}
}

func TestMVAInItsLimits(t *testing.T) {
	// One customer never waits.
	x, busy, wait := MVA(1, 90, []Station{{"a", 10}})
	near(t, "throughput", x, 0.01, 1e-9)
	near(t, "utilisation", busy[0], 0.1, 1e-9)
	if wait[0] != 0 {
		t.Errorf("one customer waits %v", wait[0])
	}
	// Many saturate the slowest station.
	x, busy, _ = MVA(1000, 90, []Station{{"a", 10}, {"b", 5}})
	near(t, "throughput", x, 0.1, 1e-6)
	near(t, "utilisation", busy[0], 1, 1e-6)
	// No think time, two equal stations: n/(n+1) of each (a classic).
	x, _, _ = MVA(4, 0, []Station{{"a", 1}, {"b", 1}})
	near(t, "throughput", x, 4.0/5, 1e-9)
}

// A worker that alone is slow bounds what comes back: the rest is growth.
func TestSlowWorkerLetsPendingGrow(t *testing.T) {
	p := free()
	p.Handover, p.Pace = 50_000, 1000
	r := Simulate(p, Load{Ps: 16, Warm: 20e6, Nanos: 50e6, Seed: 1, Design: Design{WakeNow: true, Depot: 1 << 30, NoHelp: true}})
	freed := r.Total * objectSize
	back := 1e9 / 50_000 * 1000 * objectSize
	near(t, "growth", r.Growth, freed-back, 0.1)
	if r.Busy[resWorker] < 0.8 {
		t.Errorf("the worker is busy for %v", r.Busy[resWorker])
	}
}

func TestSameSeedSameResult(t *testing.T) {
	l := Load{Ps: 12, Warm: 10e6, Nanos: 30e6, Seed: 7}
	a, b := Simulate(some(), l), Simulate(some(), l)
	if !reflect.DeepEqual(a, b) {
		t.Errorf("two runs differ:\n%+v\n%+v", a, b)
	}
	l.Seed = 8
	if c := Simulate(some(), l); reflect.DeepEqual(a, c) {
		t.Error("the seed has no effect")
	}
}

// Objects are neither lost nor made up, and a P is free or one task's, in
// every design.
func TestObjectsAndProcessorsAreConserved(t *testing.T) {
	for _, n := range []int{1, 2, 7, 40} {
		for _, d := range append(designs(64), Design{}, Design{Depot: 1}, Design{Groups: 3, Locks: 2}, Design{Groups: 3, Locks: 3, NoHelp: true}) {
			s := newSim(some(), Load{Ps: n, Warm: 3e6, Nanos: 9e6, Seed: 3, Design: d})
			steps, bad := 0, false
			s.check = func(s *sim) {
				steps++
				made, there, depots := 0, s.atPs+s.inHand, 0
				least := min(s.atPs, s.inHand)
				for i := range s.groups {
					g := &s.groups[i]
					there += g.depot + g.pending + g.collected + g.ripe
					depots += g.depot
					least = min(least, g.depot, g.pending, g.collected, g.ripe)
				}
				for i := range s.locks {
					made += s.locks[i].made
					there += s.locks[i].slabFree
					least = min(least, s.locks[i].slabFree)
				}
				if least < 0 || d.NoHelp && depots > s.bound+s.more {
					bad = true
				}
				running := 0
				for _, t := range append([]*task{s.drainer, s.service, s.driver}, s.churn...) {
					if t.onP {
						running++
					}
				}
				if made != there || running+s.idle != n || s.idle < 0 {
					bad = true
				}
				if bad && steps >= 0 {
					t.Errorf("%d Ps, %q: made %d, there %d; %d run, %d idle, at %v", n, d.Name, made, there, running, s.idle, s.now)
					steps, bad = -1<<40, false
				}
			}
			if r := s.run(context.Background()); r.Objects == 0 {
				t.Errorf("%d Ps, %q: nothing was done", n, d.Name)
			}
		}
	}
}

func TestMoreIsNeverLess(t *testing.T) {
	p := some()
	var last Row
	for n := 1; n <= MaxPs; n *= 2 {
		r := Row{GP: p.GracePeriod(n), Membarrier: p.Membarrier(n), Drain: p.Drain(n), InFlight: p.InFlight(n, 30e6, 1e5)}
		for _, g := range []Range{r.GP, r.Membarrier, r.Drain} {
			if !(g.Low <= g.Mid && g.Mid <= g.High) {
				t.Errorf("%d Ps: a range out of order: %+v", n, g)
			}
		}
		if r.GP.Mid < last.GP.Mid || r.Membarrier.Mid < last.Membarrier.Mid || r.Drain.Mid < last.Drain.Mid || r.InFlight < last.InFlight {
			t.Errorf("%d Ps cost less than half of them:\n%+v\n%+v", n, r, last)
		}
		last = r
	}
	// Slower parts never help.
	base := Simulate(p, Load{Ps: 8, Warm: 20e6, Nanos: 100e6, Seed: 1}).Total
	for _, slower := range []func(*Params){
		func(p *Params) { p.Pair *= 2 },
		func(p *Params) { p.RefillObj *= 8; p.FlushObj *= 8 },
		func(p *Params) { p.StackOp *= 100; p.StackTwo *= 100 },
	} {
		q := *p
		slower(&q)
		if got := Simulate(&q, Load{Ps: 8, Warm: 20e6, Nanos: 100e6, Seed: 1}).Total; got > 1.02*base {
			t.Errorf("slower parts gave %v, more than %v", got, base)
		}
	}
}

// No figure is asserted but that it is one.
func TestCalibrationGivesFigures(t *testing.T) {
	steps := 0
	c, err := Calibrate(t.Context(), 0.02, func(_ string, of int) {
		if steps++; steps > of {
			t.Errorf("step %d of %d", steps, of)
		}
	}, nil)
	if errors.Is(err, ErrBusy) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Params.Check(); err != nil || steps != 12*rounds+1 || len(c.GP) != 10 {
		t.Errorf("%v after %d steps: %+v", err, steps, c)
	}
	p := &c.Params
	if p.MembarrierPeer < p.MembarrierAlone || p.StackTwo < p.StackOp || p.SheafCap != 1008 {
		t.Errorf("%+v", p)
	}
}

func TestRunReportsAndSavesItsCalibration(t *testing.T) {
	cache := filepath.Join(t.TempDir(), "deep", "predict.json")
	cfg := Config{Ps: []int{8, 2, 2}, Seed: 1, Effort: 0.02, Cache: cache}
	r, err := Run(t.Context(), cfg)
	if errors.Is(err, ErrBusy) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 2 || r.Rows[0].Ps != 2 || r.Rows[1].Ps != 8 || len(r.Answer) == 0 || len(r.Checks) != 5 {
		t.Errorf("%+v", r)
	}
	off := false
	for _, c := range r.Checks {
		off = off || !c.OK
	}
	if off == r.OK {
		t.Errorf("OK is %v: %+v", r.OK, r.Checks)
	}
	var b bytes.Buffer
	if err := r.Print(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"membarrier_alone_ns", "gp µs", "Answer", "Other designs", "ipi_send_ns"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)) - 1; n > kit.TextWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if off != strings.Contains(b.String(), "30 % OFF") {
		t.Error("the text does not say what the checks say")
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	again, when := load(cache)
	if again == nil || when.IsZero() || again.Params != r.Params {
		t.Errorf("the calibration was not saved: %+v", again)
	}
	// One of another machine, or a broken one, is not used.
	again.Machine = "a museum piece"
	if err := save(cache, again); err != nil {
		t.Fatal(err)
	}
	if c, _ := load(cache); c != nil {
		t.Error("another machine's calibration was taken")
	}
	if err := os.WriteFile(cache, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if c, _ := load(cache); c != nil {
		t.Error("a broken calibration was taken")
	}
}

func TestRunRefusesAndEndsEarly(t *testing.T) {
	for _, ps := range [][]int{nil, {0}, {MaxPs + 1}} {
		if _, err := Run(t.Context(), Config{Ps: ps, Effort: 0.01}); err == nil {
			t.Errorf("%v Ps were accepted", ps)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := Run(ctx, Config{Ps: []int{8}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
