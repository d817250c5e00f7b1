package demo

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcuhash"
)

// job is one Run.
type job struct {
	cfg      Config
	rep      Report
	progress kit.Progress
	root     string // cfg.Dir without symbolic links

	found    []string // by walk, relative to root; nil after load
	keyBytes int64

	pages   *page.Allocator
	files   *rcuhash.Map[string, record]
	entries []entry
	readers []*reader
	writers []*writer

	stop, pressure atomic.Bool
	stretch        atomic.Int64 // ns, of a guard that keeps grace periods from ending
	raw            lock.Raw     // one of the contexts

	faults struct {
		mu    sync.Mutex
		n     uint64            // protected by mu, as are the next two
		by    map[string]uint64 // what happened, how often
		first map[string]*entry // and which entry first
	}
}

// Run does the main job and returns what it found. When ctx ends early, the
// report covers what was done until then, and is marked partial; memory is
// closed and checked anyway. The error is a [*kit.InputError] if the
// configuration or the directory is to blame.
func Run(ctx context.Context, cfg Config, progress kit.Progress) (Report, error) {
	if err := cfg.check(); err != nil {
		return Report{}, err
	}
	j := &job{cfg: cfg, progress: progress}
	j.raw.Init("demo")
	j.rep = Report{
		Dir: cfg.Dir, Seed: cfg.Seed, ContentChecksum: contentChecksum,
		GOMAXPROCSChanges: []int{},
	}
	err := j.all(ctx)
	j.rep.Partial = j.rep.EndedIn != Done
	j.rep.OK = err == nil && j.rep.IntegrityErrors == 0 && j.rep.Leaks == 0
	j.progress.Report(Done.step(0, 0, ""))
	return j.rep, err
}

// all goes through the phases until the last, an error, or the end of ctx.
func (j *job) all(ctx context.Context) error {
	j.rep.EndedIn = Walk
	if err := j.walk(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	if err := j.open(); err != nil {
		return err
	}
	j.rep.EndedIn = Load
	err := j.load(ctx)
	if err == nil && ctx.Err() == nil {
		j.rep.EndedIn = Exec
		j.exec(ctx)
	}
	j.progress.Report(Close.step(0, 0, "closing"))
	j.close()
	if err != nil || ctx.Err() != nil {
		return err
	}
	if j.cfg.Flood > 0 {
		j.rep.EndedIn = Flood
		if err := j.flood(ctx); err != nil || ctx.Err() != nil {
			return err
		}
	}
	j.rep.EndedIn = Done
	return nil
}

// random returns a separate source for each user.
func (j *job) random(user string, i int) *rand.Rand {
	return rand.New(rand.NewPCG(j.cfg.Seed, tagOf(user)+uint64(i)))
}

// fault counts an integrity error.
//
// Context: task; not pinned.
func (j *job) fault(e *entry, what string) {
	f := &j.faults
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by, f.first = map[string]uint64{}, map[string]*entry{}
	}
	if f.by[what] == 0 {
		f.first[what] = e
	}
	f.by[what]++
	f.n++
}

// samples describes each kind of integrity error once.
func (j *job) samples() (all []string) {
	for _, what := range slices.Sorted(maps.Keys(j.faults.by)) {
		all = append(all, fmt.Sprintf("%s: %d times, first %s", what, j.faults.by[what], j.faults.first[what].path))
	}
	return all
}

// counter is written by one goroutine and read by the controller.
type counter struct{ atomic.Uint64 }

func (c *counter) inc() { c.Store(c.Load() + 1) }
