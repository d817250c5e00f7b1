package torture

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/option"
)

// Config says what Run does.
type Config struct {
	Scenarios []*Scenario
	Duration  time.Duration // of all scenarios together
	Seed      uint64
	Fault     float64   // percent of allocations made to fail if the scenario says nothing
	Params    string    // words of name=value that override every scenario's
	Child     []string  // the command that calls Child
	Quit      os.Signal // has a child print its stacks and end; nil: Kill
}

// Report is what a run found. Its JSON form is stable: the names have the units.
type Report struct {
	OK        bool      `json:"ok"`
	Partial   bool      `json:"partial"` // interrupted
	Seed      uint64    `json:"seed"`
	DurationS float64   `json:"duration_s"`
	RanS      float64   `json:"ran_s"`
	Rounds    int       `json:"rounds"`
	Delays    bool      `json:"built_with_delays"`
	Results   []*Result `json:"scenarios"`
}

const (
	turn    = 30 * time.Second       // of a scenario, about; a longer run has several rounds
	minTurn = 500 * time.Millisecond // a shorter one tests nothing
)

// rounds divides a duration among n scenarios: how often each is run, and for
// how long.
func rounds(d time.Duration, n int) (int, time.Duration) {
	r := max(1, int((d+turn*time.Duration(n)/2)/(turn*time.Duration(n))))
	return r, max(minTurn, d/time.Duration(n*r))
}

// Run runs the scenarios in rounds. When ctx ends early the report covers what
// was done. The error is a [*kit.InputError] if the configuration is to blame.
func Run(ctx context.Context, cfg Config, progress kit.Progress) (*Report, error) {
	if cfg.Duration <= 0 {
		return nil, kit.BadInput("the duration must be more than 0, not %v", cfg.Duration)
	}
	if !(cfg.Fault >= 0 && cfg.Fault <= 100) {
		return nil, kit.BadInput("fault must be from 0 to 100 percent, not %v", cfg.Fault)
	}
	if len(cfg.Scenarios) == 0 {
		return nil, kit.BadInput("no scenarios")
	}
	var scenarios []*Scenario
	for _, s := range cfg.Scenarios {
		s := *s
		if s.p.failslab == 0 && s.p.failPage == 0 {
			s.p.failslab, s.p.failPage = cfg.Fault, cfg.Fault
		}
		if err := s.p.set(cfg.Params); err != nil {
			return nil, kit.BadInput("%v", err)
		}
		s.Broken = s.p.broken()
		scenarios = append(scenarios, &s)
	}
	n, length := rounds(cfg.Duration, len(scenarios))
	if slices.ContainsFunc(scenarios, func(s *Scenario) bool { return s.p.mapOps > 0 }) {
		n, length = 1, max(minTurn, cfg.Duration/time.Duration(len(scenarios)))
	}
	rep := &Report{Seed: cfg.Seed, DurationS: cfg.Duration.Seconds(), Delays: delays}
	for _, s := range scenarios {
		rep.Results = append(rep.Results, &Result{Scenario: s.Name, Params: s.p.words(), Options: s.p.options(), Broken: s.Broken})
	}
	start := time.Now()
	for round := 0; round < n && ctx.Err() == nil; round++ {
		if !slices.ContainsFunc(rep.Results, func(r *Result) bool { return len(r.Failures) == 0 }) {
			break // each of them has failed
		}
		rep.Rounds = round + 1
		for i, s := range scenarios {
			if ctx.Err() != nil {
				break
			}
			o := order{Scenario: s.Name, Params: s.p.words(), Seed: cfg.Seed + uint64(round), LengthS: length.Seconds()}
			show := func(st Status) {
				st.Round, st.Rounds = round+1, n
				st.Total, st.Length = time.Since(start), cfg.Duration
				progress.Report(st.step())
			}
			show(Status{Scenario: s.Name, LengthS: o.LengthS})
			rep.Results[i].merge(runChild(ctx, cfg, s, o, show))
		}
	}
	rep.RanS = time.Since(start).Seconds()
	rep.Partial = ctx.Err() != nil
	rep.OK = true
	for _, r := range rep.Results {
		r.settle()
		rep.OK = rep.OK && r.OK
	}
	return rep, nil
}

// lockdepOptions returns what children inherit of QUIESCE. A report of lockdep
// ends them, which makes it a failure.
func lockdepOptions() []string {
	o := []string{"panic_on_report=1"}
	for _, name := range []string{"lockdep", "prove_raw_lock_nesting"} {
		if v, ok := option.Text(name); ok {
			o = append(o, name+"="+v)
		}
	}
	return o
}

// grace is what a child gets beyond its time, its watchdog's times included,
// before it must show its stacks; and then before it is killed.
const grace = 10 * time.Second

// runChild runs a scenario in a process of its own.
func runChild(ctx context.Context, cfg Config, s *Scenario, o order, show func(Status)) *Result {
	// The child's own watchdog reports a hang; the limit is for a process whose
	// scheduler has come to a standstill.
	late := 2*seconds(s.p.watchdog) + grace
	c := kit.Child{
		Command: cfg.Child, Options: append(s.p.env(), lockdepOptions()...),
		Limit: seconds(o.LengthS) + late, Quit: cfg.Quit, Grace: seconds(o.LengthS) + late,
	}
	var res *Result
	var refused string
	e, err := kit.Ask(ctx, c, o, func(m message) bool {
		switch {
		case m.Status != nil:
			show(*m.Status)
		case m.Result != nil:
			res = m.Result
		case m.Error != "":
			refused = m.Error
		}
		return false
	})
	failed := func(kind, format string, args ...any) *Result {
		r := &Result{
			Scenario: s.Name, Params: s.p.words(), Options: s.p.options(), Broken: s.Broken, Rounds: 1, Seeds: []uint64{o.Seed},
			Failures: []Failure{{kind, 1, fmt.Sprintf(format, args...)}},
		}
		if e.Log != nil {
			r.Log = e.Log.String()
		}
		return r
	}
	switch {
	case err != nil:
		return failed("process", "%v", err)
	case refused != "":
		return failed("process", "%s", refused)
	case e.Late && res == nil:
		return failed("hang", "the process did not answer %v after its time; its stacks are in the log", late)
	case res == nil:
		return failed("crash", "the process ended without a result: %v: %s", e.Err, e.Log.First())
	case len(res.Failures) > 0:
		res.Log = e.Log.String()
	}
	return res
}
