package predict

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what to predict.
type Config struct {
	Ps          []int   // what the table shows
	WorkNs      float64 // the program's own time per object
	Seed        uint64
	Recalibrate bool      // measure even if a saved calibration is there
	Cache       string    // file of the saved calibration; empty: none
	Effort      float64   // of measurements and simulations; 0: 1
	Counted     []Counted // by tests/shared, to compare with; may be empty
	// Tell is called with what is being done, and how far it is.
	Tell func(what string, done, total int)
}

// MaxPs is the largest machine that is simulated.
const MaxPs = 4096

// Row is the prediction for one number of Ps.
type Row struct {
	Ps         int     `json:"ps"`
	GP         Range   `json:"grace_period_ns"`
	Membarrier Range   `json:"membarrier_ns"`
	Drain      Range   `json:"drain_scan_ns"`
	Sim        Result  `json:"simulation"`
	Closed     Closed  `json:"closed_form"`
	InFlight   float64 `json:"in_flight_closed_form_bytes"`
}

// Bend is where a resource starts to cost: see bends.
type Bend struct {
	Resource string `json:"resource"`
	Ps       int    `json:"ps"`
	Why      string `json:"why"`
}

// Lever is a change of the design and what it gives.
type Lever struct {
	Change string  `json:"change"`
	Ps     int     `json:"ps"`
	PerP   float64 `json:"objects_per_s_per_p"`
	Gain   float64 `json:"gain"` // over the design as it is
	Flight float64 `json:"in_flight_bytes"`
	Held   float64 `json:"held_bytes"`
}

// Basis is what a run started from.
type Basis struct {
	Machine    string  `json:"machine"`
	Calibrated string  `json:"calibrated"`
	Seed       uint64  `json:"seed"`
	WorkNs     float64 `json:"work_ns"`
}

// Report is everything a run found.
type Report struct {
	Basis
	Params      Params       `json:"params"`
	Assumptions []Assumption `json:"assumptions"`
	GP          []GPPoint    `json:"grace_period_over_gomaxprocs"`
	Checks      []Check      `json:"checks"`
	Noise       float64      `json:"waited_for_processor_share"`
	Reused      [2]float64   `json:"measured_reused_share_1_2"`
	SimReused   [2]float64   `json:"simulated_reused_share_1_2"`
	Rows        []Row        `json:"rows"`
	Bends       []Bend       `json:"bends"`
	Variants    []Variant    `json:"variants"`
	Levers      []Lever      `json:"levers"`
	Answer      []string     `json:"answer"`
	Shared      []Foretold   `json:"shared"`
	OK          bool         `json:"model_within_30_percent"`
}

// grid is where bends are looked for.
var grid = []int{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048, 4096}

// Run measures, predicts and simulates. It ends early, with the context's error,
// when ctx is done.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if cfg.Effort == 0 {
		cfg.Effort = 1
	}
	if cfg.Tell == nil {
		cfg.Tell = func(string, int, int) {}
	}
	if len(cfg.Ps) == 0 {
		return nil, errors.New("predict: no number of Ps to predict for")
	}
	for _, n := range cfg.Ps {
		if n < 1 || n > MaxPs {
			return nil, fmt.Errorf("predict: %d Ps; 1 to %d can be simulated", n, MaxPs)
		}
	}
	var all []Measured
	cal, when, err := calibration(ctx, cfg, func() error {
		cfg.Tell("measuring one and two Ps", len(all), rounds)
		m, err := measure(ctx, cfg.Effort)
		all = append(all, m)
		return cmp.Or(err, ctx.Err())
	})
	if err != nil {
		return nil, err
	}
	m := medians(all)
	p := &cal.Params
	r := &Report{
		Basis:  Basis{Machine: machine(), Calibrated: when, Seed: cfg.Seed, WorkNs: cfg.WorkNs},
		Params: *p, Assumptions: p.Assume(), GP: cal.GP, Noise: m.Noise,
		Reused: [2]float64{m.Reused[1], m.Reused[2]},
	}
	cfg.Tell("checking one and two Ps", 0, 0)
	r.Checks, r.SimReused = checks(p, m, cfg.Seed)
	r.OK = true
	for _, c := range r.Checks {
		r.OK = r.OK && c.OK
	}
	if err := r.predict(ctx, cfg); err != nil {
		return nil, err
	}
	return r, nil
}

// calibration loads the saved one, or measures and saves. It calls measure in each round.
func calibration(ctx context.Context, cfg Config, measure func() error) (*Calibration, string, error) {
	if !cfg.Recalibrate && cfg.Cache != "" {
		if c, when := load(cfg.Cache); c != nil {
			for range rounds {
				if err := measure(); err != nil {
					return nil, "", err
				}
			}
			return c, "at " + when.Format(time.DateTime) + ", saved in " + cfg.Cache, nil
		}
	}
	done := 0
	c, err := Calibrate(ctx, cfg.Effort, func(step string, of int) {
		cfg.Tell("calibrating: "+step, done, of)
		done++
	}, measure)
	if err != nil {
		return nil, "", err
	}
	when := "now"
	if cfg.Cache != "" {
		if err := save(cfg.Cache, c); err != nil {
			when = fmt.Sprintf("now, and not saved: %v", err)
		}
	}
	return c, when, nil
}

func load(name string) (*Calibration, time.Time) {
	b, err := os.ReadFile(name)
	c := &Calibration{}
	if err != nil || json.Unmarshal(b, c) != nil || c.Machine != machine() || c.Params.Check() != nil {
		return nil, time.Time{}
	}
	i, err := os.Stat(name)
	if err != nil {
		return nil, time.Time{}
	}
	return c, i.ModTime()
}

// save replaces the file whole.
func save(name string, c *Calibration) error {
	b, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), "calibration")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

// job is one simulation of a run.
type job struct {
	params *Params
	load   Load
	res    Result
}

// load is how long n Ps are simulated: some quanta of Go's scheduler, fewer
// where there are more Ps to average over.
func loadOf(cfg Config, n int, d Design) Load {
	d.WorkNs = cfg.WorkNs
	nanos := min(max(4e9/float64(n), 30e6), 500e6) * cfg.Effort
	return Load{Ps: n, Warm: nanos, Nanos: nanos, Seed: cfg.Seed, Design: d}
}

// designs are the changes that are tried.
func designs(n int) []Design {
	return []Design{
		{Name: "one group of stacks for all Ps", Groups: 1},
		{Name: "a depot of 4 MiB whatever misses", Depot: 65},
		{Name: "FreeRCU hands nothing over: the service does all", NoHelp: true},
		{Name: "the service runs as soon as its pace is over", WakeNow: true},
		{Name: "a P that waited for the slab lock checks the depot again", Recheck: true},
		{Name: "the slab lock for list changes only: nine tenths of the work outside", Outside: 0.9},
		{Name: "a slab lock for each 16 Ps", Locks: (n + groupPs - 1) / groupPs},
	}
}

// knee is the first number of Ps at which throughput per P has fallen.
func knee(all []int, byPs map[int]Result) (ps int, found bool) {
	for _, n := range all {
		if byPs[n].PerP < bentPerP*byPs[all[0]].PerP {
			return n, true
		}
	}
	return 0, false
}

// numbers returns the numbers of Ps that the report shows, and those that are
// simulated: they, and the grid up to the highest of them.
func (cfg Config) numbers() (shown, all []int) {
	shown = slices.Clone(cfg.Ps)
	slices.Sort(shown)
	shown = slices.Compact(shown)
	all = slices.Clone(shown)
	for _, n := range grid {
		if n <= shown[len(shown)-1] {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return shown, slices.Compact(all)
}

func (r *Report) predict(ctx context.Context, cfg Config) error {
	ps, all := cfg.numbers()
	var jobs []*job
	for _, n := range all {
		jobs = append(jobs, &job{params: &r.Params, load: loadOf(cfg, n, Design{})})
	}
	if err := simulate(ctx, cfg, jobs, "simulating"); err != nil {
		return err
	}
	byPs := map[int]Result{}
	for _, j := range jobs {
		byPs[j.load.Ps] = j.res
	}
	for _, n := range ps {
		s := byPs[n]
		r.Rows = append(r.Rows, Row{
			Ps: n, GP: r.Params.GracePeriod(n), Membarrier: r.Params.Membarrier(n), Drain: r.Params.Drain(n),
			Sim: s, Closed: r.Params.Closed(n, Design{WorkNs: cfg.WorkNs}, s.WorkerWait),
			InFlight: r.Params.InFlight(n, s.PerP, s.WorkerWait),
		})
	}
	if _, there := byPs[sharedPs]; !there {
		byPs[sharedPs] = Simulate(&r.Params, loadOf(cfg, sharedPs, Design{}))
	}
	r.Shared = r.Params.foretell(1-byPs[sharedPs].Reused, cfg.Counted)
	for _, f := range r.Shared {
		r.OK = r.OK && f.OK
	}
	r.Bends = bends(all, byPs)
	if err := r.tryDesigns(ctx, cfg, all, byPs); err != nil {
		return err
	}
	if err := r.vary(ctx, cfg, all); err != nil {
		return err
	}
	r.Answer = r.answer(all, byPs)
	return nil
}

// tryDesigns simulates other designs with two Ps, with the most, and where
// throughput bends.
func (r *Report) tryDesigns(ctx context.Context, cfg Config, all []int, byPs map[int]Result) error {
	at := []int{2, all[len(all)-1]}
	if n, found := knee(all, byPs); found {
		at = append(at, n)
	}
	slices.Sort(at)
	at = slices.Compact(at)
	var jobs []*job
	for _, n := range at {
		for _, d := range designs(n) {
			jobs = append(jobs, &job{params: &r.Params, load: loadOf(cfg, n, d)})
		}
	}
	if err := simulate(ctx, cfg, jobs, "simulating other designs"); err != nil {
		return err
	}
	for _, n := range at {
		if _, there := byPs[n]; !there { // only 1 P was asked for
			byPs[n] = Simulate(&r.Params, loadOf(cfg, n, Design{}))
		}
	}
	for _, j := range jobs {
		r.Levers = append(r.Levers, Lever{
			Change: j.load.Design.Name, Ps: j.load.Ps, PerP: j.res.PerP, Flight: j.res.InFlight, Held: j.res.Held,
			Gain: j.res.PerP / max(byPs[j.load.Ps].PerP, 1),
		})
	}
	return nil
}

// simulate runs the jobs on two threads.
func simulate(ctx context.Context, cfg Config, jobs []*job, what string) error {
	order := rand.New(rand.NewPCG(cfg.Seed, 2)).Perm(len(jobs)) // the long ones are not all at the end
	var next, done atomic.Int64
	var wg sync.WaitGroup
	var tell sync.Mutex
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				j := jobs[order[i]]
				j.res = simulateUntil(ctx, j.params, j.load)
				tell.Lock()
				cfg.Tell(what, int(done.Add(1)), len(jobs))
				tell.Unlock()
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
