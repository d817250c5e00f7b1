package compare

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/kit/perf"
)

// RunConfig says what Run measures.
type RunConfig struct {
	Strategies []string // nil: all
	Full       bool     // 4 M cold objects, and every cold cell
	Quick      bool     // a few runs of each cell, and short ones: rough figures
	Objects    int      // of a cold flood; 0: half a million, or with Full 4 million
	Child      []string // the command that calls Child
}

// Status says how far a run is.
type Status struct {
	Done, Total int
	Strategy    string
	RT          bool
	Job         Job
}

func (s Status) String() string {
	rt := 0
	if s.RT {
		rt = 1
	}
	words := fmt.Sprintf("%s preempt_rt=%d %s", s.Strategy, rt, s.Job.Kind)
	if k, err := s.Job.kind(); err == nil && k.matrix {
		words += " " + s.Job.Caller.String()
		if s.Job.Exhausted {
			words += " exhausted"
		}
	}
	return words
}

// jobs are the jobs of a strategy in one mode.
func (cfg RunConfig) jobs(name string, rt bool) (jobs []Job) {
	add := func(j Job) { jobs = append(jobs, j) }
	for kind := range callers {
		for _, exhausted := range []bool{false, true} {
			add(Job{Kind: "hot", Caller: kind, Exhausted: exhausted})
			if cfg.Full || kind == Plain && !exhausted || kind == Raw && exhausted {
				add(Job{Kind: "cold", Caller: kind, Exhausted: exhausted, Objects: cfg.Objects})
			}
		}
	}
	add(Job{Kind: "light", Caller: Raw})
	if rt {
		add(Job{Kind: "memory", Caller: Mixed})
	}
	if name == "rawlocks" {
		add(Job{Kind: "locks"})
	}
	if name == "detect" && rt {
		add(Job{Kind: "tracking"})
	}
	add(Job{Kind: "survive", Caller: Raw, Exhausted: true})
	return append(jobs, Job{Kind: "lockdep", Caller: Mixed, Exhausted: true})
}

// fill fills in the defaults. The error is a [*kit.InputError].
func (cfg *RunConfig) fill() error {
	if len(cfg.Strategies) == 0 {
		cfg.Strategies = Names()
	}
	for _, name := range cfg.Strategies {
		if Lookup(name) == nil {
			return kit.BadInput("no strategy %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	if cfg.Objects == 0 {
		cfg.Objects = 500_000
		if cfg.Full {
			cfg.Objects = 4_000_000
		}
	}
	if cfg.Objects < 1000 || cfg.Objects > 20_000_000 {
		return kit.BadInput("objects must be from 1000 to 20000000, not %d", cfg.Objects)
	}
	return nil
}

// Run measures the matrix. When ctx ends early the report covers what was done.
// tell, which may be nil, is called for every job that begins. The error is a
// [*kit.InputError] if the configuration is to blame.
func Run(ctx context.Context, cfg RunConfig, tell func(Status)) (*Report, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	rep := &Report{Full: cfg.Full, Quick: cfg.Quick, Objects: cfg.Objects, Machine: machine()}
	st := Status{}
	for _, name := range cfg.Strategies {
		st.Total += len(cfg.jobs(name, false)) + len(cfg.jobs(name, true))
	}
	var refs []float64
	begin := time.Now()
	for _, rt := range []bool{true, false} {
		for _, name := range cfg.Strategies {
			if ctx.Err() != nil {
				break
			}
			o := order{Strategy: name, RT: rt, Quick: cfg.Quick, Jobs: cfg.jobs(name, rt)}
			err := children(ctx, cfg.Child, o, listener{
				begins: func(j Job, ref float64) {
					refs = append(refs, ref)
					st.Strategy, st.RT, st.Job = name, rt, j
					if tell != nil {
						tell(st)
					}
				},
				ends: func(j Job, r result, err error) {
					st.Done++
					rep.add(name, rt, j, r, err)
				},
			})
			if err != nil {
				return nil, err
			}
		}
	}
	rep.Partial = ctx.Err() != nil
	rep.RanS = time.Since(begin).Seconds()
	if len(refs) > 0 {
		rep.Reference = kit.Median(refs)
		rep.Drift = (kit.Quantile(refs, 0.75) - kit.Quantile(refs, 0.25)) / rep.Reference
	}
	rep.Claims = rep.claims()
	return rep, nil
}

// Names are the strategies' names.
func Names() (names []string) {
	for _, s := range Strategies {
		names = append(names, s.Name)
	}
	return names
}

// add adds a job's result.
func (rep *Report) add(name string, rt bool, j Job, r result, err error) {
	if err != nil {
		rep.Errors = append(rep.Errors, fmt.Sprintf("%s: %v", Status{Strategy: name, RT: rt, Job: j}, err))
		return
	}
	if k, err := j.kind(); err == nil {
		k.add(rep, r)
	}
}

// timed counts a cell that has times.
func (rep *Report) timed(t Timed) {
	rep.Cells++
	if t.Noisy {
		rep.Noisy++
	}
}

// find returns the first cell that matches, or nil.
func find[T any](cells []T, match func(*T) bool) *T {
	for i := range cells {
		if match(&cells[i]) {
			return &cells[i]
		}
	}
	return nil
}

// The cells of a report; nil where there is none, or where its process died.

func (rep *Report) survival(name string, rt bool) *Survival {
	return find(rep.Survival, func(s *Survival) bool { return s.Strategy == name && s.RT == rt })
}

func (rep *Report) hot(name string, kind Caller, rt, exhausted bool) *Hot {
	w := Where{name, kind.String(), rt, exhausted}
	return find(rep.Hot, func(h *Hot) bool { return h.Where == w && h.Died == "" })
}

func (rep *Report) cold(name string, kind Caller, rt, exhausted bool) *Cold {
	w := Where{name, kind.String(), rt, exhausted}
	return find(rep.Cold, func(c *Cold) bool { return c.Where == w && c.Died == "" })
}

func (rep *Report) light(name string, rt bool) *Light {
	return find(rep.Light, func(l *Light) bool { return l.Strategy == name && l.RT == rt && l.Died == "" })
}

func (rep *Report) locks(rt bool) *Locks {
	return find(rep.Locks, func(l *Locks) bool { return l.RT == rt })
}

func machine() Machine {
	m := Machine{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Misses: "yes"}
	if c, err := perf.CountMisses(); err != nil {
		m.Misses = "n/a: " + err.Error()
	} else {
		c.Close()
	}
	if f, err := os.Open("/proc/cpuinfo"); err == nil {
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if k, v, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(k) == "model name" {
				m.CPU = strings.TrimSpace(v)
				break
			}
		}
	}
	return m
}
