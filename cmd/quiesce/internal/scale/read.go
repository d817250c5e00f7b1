package scale

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
)

// ReadConfig are refscale's parameters.
type ReadConfig struct {
	Loops     int           `json:"loops"`
	NReaders  int           `json:"nreaders"` // -1: three quarters of the Ps
	NRuns     int           `json:"nruns"`
	ReadDelay time.Duration `json:"readdelay_ns"`
	Holdoff   time.Duration `json:"holdoff_ns"`
	Types     []string      `json:"scale_type"` // none: all
}

// ReadReport has one result for each type.
type ReadReport struct {
	ReadConfig
	Procs   int          `json:"gomaxprocs"`
	Results []ReadResult `json:"results"`
	Partial bool         `json:"partial"`
}

// ReadResult are the runs of one type. A figure is the time of a reader for a
// loop, with its delay, averaged over the readers of a run.
type ReadResult struct {
	Type   string    `json:"scale_type"`
	Does   string    `json:"does"`
	Runs   []float64 `json:"runs_ns"`
	Mean   float64   `json:"mean_ns"`
	Median float64   `json:"median_ns"`
	Min    float64   `json:"min_ns"`
	Max    float64   `json:"max_ns"`
	Noisy  bool      `json:"noisy"`
}

// readType is a kind of read-side section. open makes one for a run of all its
// readers; what it returns does n sections with delay in each.
type readType struct {
	name, does string
	open       func() func(n int, delay func())
}

// readTypes are all of them. Those of a nanosecond or two have their loop written
// out; the others go through locked.
var readTypes = []readType{
	{"rcu", "rcu.ReadLock, Unlock", written(func(n int) {
		for range n {
			g := rcu.ReadLock()
			g.Unlock()
		}
	}, func(delay func()) {
		g := rcu.ReadLock()
		delay()
		g.Unlock()
	})},
	{"pinned", "preempt.Disable, Enable", written(func(n int) {
		for range n {
			p := preempt.Disable()
			p.Enable()
		}
	}, func(delay func()) {
		p := preempt.Disable()
		delay()
		p.Enable()
	})},
	{"rcu-bh", "rcu.ReadLockBH, Unlock", func() func(int, func()) {
		return func(n int, delay func()) {
			for range n {
				g := rcu.ReadLockBH()
				if delay != nil {
					delay()
				}
				g.Unlock()
			}
		}
	}},
	{"refcnt", "an atomic count, up and down", func() func(int, func()) {
		var refs atomic.Int64
		return locked(func() { refs.Add(1) }, func() { refs.Add(-1) })
	}},
	{"rwlock", "lock.RW: RLock, RUnlock", with((*lock.RW).RLock, (*lock.RW).RUnlock)},
	{"rwmutex", "sync.RWMutex: RLock, RUnlock", with((*sync.RWMutex).RLock, (*sync.RWMutex).RUnlock)},
	{"mutex", "sync.Mutex: Lock, Unlock", with((*sync.Mutex).Lock, (*sync.Mutex).Unlock)},
	{"lock", "lock.Raw: Lock, Unlock", with((*lock.Raw).Lock, (*lock.Raw).Unlock)},
	{"lock-irq", "lock.Raw: LockIRQ, UnlockIRQ", with((*lock.Raw).LockIRQ, (*lock.Raw).UnlockIRQ)},
	{"acqrel", "an atomic load, and a store", func() func(int, func()) {
		var word atomic.Uint64
		var v uint64
		return locked(func() { v = word.Load() }, func() { word.Store(v) })
	}},
	{"clock", "the monotonic clock, twice", func() func(int, func()) {
		return locked(func() { sys.Nanotime() }, func() { sys.Nanotime() })
	}},
}

// written does n sections by empty, which has its loop written out, or each by
// section if there is a delay.
func written(empty func(n int), section func(delay func())) func() func(int, func()) {
	return func() func(int, func()) {
		return func(n int, delay func()) {
			if delay == nil {
				empty(n)
				return
			}
			for range n {
				section(delay)
			}
		}
	}
}

// with is locked on a lock that is new for each run.
func with[L any](begin, end func(*L)) func() func(int, func()) {
	return func() func(int, func()) {
		l := new(L)
		return func(n int, delay func()) {
			for range n {
				begin(l)
				if delay != nil {
					delay()
				}
				end(l)
			}
		}
	}
}

// locked does sections that two calls begin and end; the calls are part of the
// figure, a nanosecond or two.
func locked(begin, end func()) func(int, func()) {
	return func(n int, delay func()) {
		for range n {
			begin()
			if delay != nil {
				delay()
			}
			end()
		}
	}
}

// ReadTypes lists the names for ReadConfig.Types and what each does.
func ReadTypes() (all [][2]string) {
	for _, t := range readTypes {
		all = append(all, [2]string{t.name, t.does})
	}
	return all
}

func findReadTypes(names []string) ([]readType, error) {
	if len(names) == 0 {
		return readTypes, nil
	}
	var found []readType
	for _, name := range names {
		i := slices.IndexFunc(readTypes, func(t readType) bool { return t.name == name })
		if i < 0 {
			var all []string
			for _, t := range readTypes {
				all = append(all, t.name)
			}
			return nil, BadInput("no scale_type is called %q: want one of %s", name, strings.Join(all, ", "))
		}
		found = append(found, readTypes[i])
	}
	return found, nil
}

// Read runs refscale: nruns runs of each type, in turns.
func Read(ctx context.Context, cfg ReadConfig, tell Tell) (*ReadReport, error) {
	types, err := findReadTypes(cfg.Types)
	if err != nil {
		return nil, err
	}
	if err := check(
		bounds{"loops", int64(cfg.Loops), 1, most, false},
		bounds{"nreaders", int64(cfg.NReaders), 1, 1 << 16, true},
		bounds{"nruns", int64(cfg.NRuns), 1, 1 << 20, false},
		bounds{"readdelay", int64(cfg.ReadDelay), 0, int64(time.Second), false},
		bounds{"holdoff", int64(cfg.Holdoff), 0, 0, false},
	); err != nil {
		return nil, err
	}
	r := &ReadReport{ReadConfig: cfg, Procs: runtime.GOMAXPROCS(0)}
	if cfg.NReaders < 0 {
		r.NReaders = max((r.Procs*3+3)/4, 1)
	}
	var delay func()
	if d := int64(cfg.ReadDelay); d > 0 {
		delay = func() {
			for end := sys.Nanotime() + d; sys.Nanotime() < end; {
			}
		}
	}
	for _, t := range types {
		r.Results = append(r.Results, ReadResult{Type: t.name, Does: t.does})
	}
	pause(ctx, cfg.Holdoff)
	for run := -1; run < cfg.NRuns; run++ { // the first is to warm up
		for i, t := range types {
			if ctx.Err() != nil {
				r.Partial = true
				break
			}
			loops := cfg.Loops
			if run < 0 {
				loops = max(loops/10, 1)
			}
			ns := readRun(r.NReaders, loops, t.open(), delay)
			if run >= 0 {
				r.Results[i].Runs = append(r.Results[i].Runs, ns)
			}
		}
		if run%10 == 9 {
			tell.say("run %d of %d of each type", run+1, cfg.NRuns)
		}
	}
	for i := range r.Results {
		r.Results[i].sum()
	}
	return r, nil
}

func readRun(readers, loops int, section func(int, func()), delay func()) float64 {
	took := make([]float64, readers)
	crew(readers, func(i int) {
		begin := sys.Nanotime()
		section(loops, delay)
		took[i] = float64(sys.Nanotime()-begin) / float64(loops)
	})
	return kit.Mean(took)
}

func (r *ReadResult) sum() {
	if len(r.Runs) == 0 {
		return
	}
	r.Mean, r.Median = kit.Mean(r.Runs), kit.Median(r.Runs)
	r.Min, r.Max = slices.Min(r.Runs), slices.Max(r.Runs)
	r.Noisy = majoritySpread(r.Runs) > noisyFrom
}

// SummaryLine is refscale's last line.
func (r *ReadResult) SummaryLine() string {
	return fmt.Sprintf("%s: mean (over %d runs): %.3f ns per loop, median %.3f", r.Type, len(r.Runs), r.Mean, r.Median)
}
