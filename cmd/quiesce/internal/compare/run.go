package compare

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
)

// RunConfig says what Run measures.
type RunConfig struct {
	Strategies []string // nil: all
	Full       bool     // 4 M cold objects, and every cold cell
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
	switch s.Job.Kind {
	case "hot", "cold":
		words += " " + s.Job.Caller.String()
		if s.Job.Exhausted {
			words += " exhausted"
		}
	}
	return words
}

// InputError is an error of what the user gave.
type InputError = kit.InputError

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

// Run measures the matrix. When ctx ends early the report covers what was done.
// tell, which may be nil, hears of every job that begins. The error is an
// *InputError if the configuration is to blame.
func Run(ctx context.Context, cfg RunConfig, tell func(Status)) (*Report, error) {
	if len(cfg.Strategies) == 0 {
		for _, s := range Strategies {
			cfg.Strategies = append(cfg.Strategies, s.Name)
		}
	}
	for _, name := range cfg.Strategies {
		if Lookup(name) == nil {
			return nil, kit.BadInput("no strategy %q; there are %s", name, strings.Join(Names(), ", "))
		}
	}
	if cfg.Objects == 0 {
		cfg.Objects = 500_000
		if cfg.Full {
			cfg.Objects = 4_000_000
		}
	}
	if cfg.Objects < 1000 || cfg.Objects > 20_000_000 {
		return nil, kit.BadInput("objects must be from 1000 to 20000000, not %d", cfg.Objects)
	}
	rep := &Report{Full: cfg.Full, Objects: cfg.Objects, Machine: machine()}
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
			o := order{Strategy: name, RT: rt, Jobs: cfg.jobs(name, rt)}
			err := children(ctx, cfg.Child, o, func(j Job, ref float64) {
				refs = append(refs, ref)
				st.Strategy, st.RT, st.Job = name, rt, j
				if tell != nil {
					tell(st)
				}
			}, func(j Job, r result, err error) {
				st.Done++
				rep.take(name, rt, j, r, err)
			})
			if err != nil {
				return nil, err
			}
		}
	}
	rep.Partial = ctx.Err() != nil
	rep.RanS = time.Since(begin).Seconds()
	if n := len(refs); n > 0 {
		slices.Sort(refs)
		rep.Reference, rep.Drift = refs[n/2], (refs[n*3/4]-refs[n/4])/refs[n/2]
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

// take adds a job's result.
func (rep *Report) take(name string, rt bool, j Job, r result, err error) {
	if err != nil {
		rep.Errors = append(rep.Errors, fmt.Sprintf("%s: %v", Status{Strategy: name, RT: rt, Job: j}, err))
		return
	}
	timed := func(t Timed) {
		rep.Cells++
		if t.Noisy {
			rep.Noisy++
		}
	}
	switch {
	case r.Hot != nil:
		timed(r.Hot.Timed)
		rep.Hot = append(rep.Hot, *r.Hot)
	case r.Cold != nil:
		timed(r.Cold.Timed)
		rep.Cold = append(rep.Cold, *r.Cold)
	case r.Light != nil:
		timed(r.Light.Timed)
		rep.Light = append(rep.Light, *r.Light)
	case r.Memory != nil:
		rep.Memory = append(rep.Memory, *r.Memory)
	case r.Locks != nil:
		timed(r.Locks.Timed)
		rep.Locks = append(rep.Locks, *r.Locks)
	case r.Tracking != nil:
		timed(r.Tracking.Timed)
		rep.Tracking = r.Tracking
	case r.Survival != nil && j.Kind == "survive":
		rep.Survival = append(rep.Survival, *r.Survival)
	case r.Survival != nil:
		if s := rep.survival(name, rt); s != nil {
			s.Reports, s.First, s.LDDied = r.Survival.Reports, r.Survival.First, r.Survival.LDDied
		}
	}
}

// The cells of a report, or nil.

func (rep *Report) survival(name string, rt bool) *Survival {
	i := slices.IndexFunc(rep.Survival, func(s Survival) bool { return s.Strategy == name && s.RT == rt })
	if i < 0 {
		return nil
	}
	return &rep.Survival[i]
}

func (rep *Report) hot(name string, kind Caller, rt, exhausted bool) *Hot {
	i := slices.IndexFunc(rep.Hot, func(h Hot) bool { return h.Where == Where{name, kind.String(), rt, exhausted} })
	if i < 0 || rep.Hot[i].Died != "" {
		return nil
	}
	return &rep.Hot[i]
}

func (rep *Report) cold(name string, kind Caller, rt, exhausted bool) *Cold {
	i := slices.IndexFunc(rep.Cold, func(c Cold) bool { return c.Where == Where{name, kind.String(), rt, exhausted} })
	if i < 0 || rep.Cold[i].Died != "" {
		return nil
	}
	return &rep.Cold[i]
}

func (rep *Report) light(name string, rt bool) *Light {
	i := slices.IndexFunc(rep.Light, func(l Light) bool { return l.Strategy == name && l.RT == rt })
	if i < 0 || rep.Light[i].Died != "" {
		return nil
	}
	return &rep.Light[i]
}

func (rep *Report) locks(rt bool) *Locks {
	i := slices.IndexFunc(rep.Locks, func(l Locks) bool { return l.RT == rt })
	if i < 0 {
		return nil
	}
	return &rep.Locks[i]
}

func machine() Machine {
	m := Machine{Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), GOMAXPROCS: runtime.GOMAXPROCS(0), Misses: "yes"}
	if c, err := sys.CountMisses(); err != nil {
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
