package compare

import (
	"fmt"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

// Job is one thing to measure, in a process of its own strategy.
type Job struct {
	Kind      string `json:"kind"` // the name of one of jobKinds
	Caller    Caller `json:"caller"`
	Exhausted bool   `json:"exhausted"`
	Objects   int    `json:"objects,omitempty"`
}

// bench runs jobs in a child.
type bench struct {
	strategy string
	quick    bool // a tenth of the work, and no more runs if they disagree
	swept    *kit.Sweep
	sum      byte  // keeps the walk from being optimized away
	clock    int64 // ns between two readings of the clock
}

func (b *bench) where(j Job) Where { return j.where(b.strategy, preempt.RT()) }

func (j Job) where(strategy string, rt bool) Where {
	return Where{Strategy: strategy, Caller: j.Caller.String(), RT: rt, Exhausted: j.Exhausted}
}

// result is what a job found; one field is set.
type result struct {
	Hot      *Hot      `json:"hot,omitempty"`
	Cold     *Cold     `json:"cold,omitempty"`
	Light    *Light    `json:"light,omitempty"`
	Memory   *Memory   `json:"memory,omitempty"`
	Survival *Survival `json:"survival,omitempty"`
	Locks    *Locks    `json:"locks,omitempty"`
	Tracking *Tracking `json:"tracking,omitempty"`
}

// jobKind is all that a kind of job consists of.
type jobKind struct {
	name   string
	matrix bool // it is measured for every caller, with lists plenty and exhausted
	run    func(b *bench, j Job) (result, error)
	died   func(w Where, why string) result // the result if the job ended its process
	add    func(rep *Report, r result)
}

// kindOf makes a jobKind whose result is one field of result. died is nil for
// a kind whose death leaves nothing to report.
func kindOf[R any](name string, field func(*result) **R, run func(*bench, Job) (*R, error),
	died func(Where, string) R, add func(*Report, R)) jobKind {
	return jobKind{
		name: name,
		run: func(b *bench, j Job) (r result, err error) {
			*field(&r), err = run(b, j)
			return r, err
		},
		died: func(w Where, why string) (r result) {
			if died != nil {
				v := died(w, why)
				*field(&r) = &v
			}
			return r
		},
		add: func(rep *Report, r result) {
			if v := *field(&r); v != nil {
				add(rep, *v)
			}
		},
	}
}

func (k jobKind) ofMatrix() jobKind { k.matrix = true; return k }

func survivalOf(r *result) **Survival { return &r.Survival }

// jobKinds are all of them.
var jobKinds = []jobKind{
	kindOf("hot", func(r *result) **Hot { return &r.Hot }, (*bench).hot,
		func(w Where, why string) Hot { return Hot{Where: w, Died: why} },
		func(rep *Report, h Hot) { rep.timed(h.Timed); rep.Hot = append(rep.Hot, h) }).ofMatrix(),
	kindOf("cold", func(r *result) **Cold { return &r.Cold }, (*bench).cold,
		func(w Where, why string) Cold { return Cold{Where: w, Died: why} },
		func(rep *Report, c Cold) { rep.timed(c.Timed); rep.Cold = append(rep.Cold, c) }).ofMatrix(),
	kindOf("light", func(r *result) **Light { return &r.Light }, (*bench).light,
		func(w Where, why string) Light { return Light{Where: w, Died: why} },
		func(rep *Report, l Light) { rep.timed(l.Timed); rep.Light = append(rep.Light, l) }),
	kindOf("memory", func(r *result) **Memory { return &r.Memory }, (*bench).memory,
		func(w Where, why string) Memory { return Memory{Where: w, Died: why} },
		func(rep *Report, m Memory) { rep.Memory = append(rep.Memory, m) }),
	kindOf("locks", func(r *result) **Locks { return &r.Locks }, (*bench).locks, nil,
		func(rep *Report, l Locks) { rep.timed(l.Timed); rep.Locks = append(rep.Locks, l) }),
	kindOf("tracking", func(r *result) **Tracking { return &r.Tracking }, (*bench).tracking, nil,
		func(rep *Report, t Tracking) { rep.timed(t.Timed); rep.Tracking = &t }),
	kindOf("survive", survivalOf, (*bench).survive,
		func(w Where, why string) Survival { return Survival{Where: w, Died: why} },
		func(rep *Report, s Survival) { rep.Survival = append(rep.Survival, s) }),
	// What lockdep reports belongs to the result of the survive job before it.
	kindOf("lockdep", survivalOf, (*bench).lockdep,
		func(w Where, why string) Survival { return Survival{Where: w, LDDied: why} },
		func(rep *Report, l Survival) {
			if s := rep.survival(l.Strategy, l.RT); s != nil {
				s.Reports, s.First, s.LDDied = l.Reports, l.First, l.LDDied
			}
		}),
}

// kind finds the job's kind.
func (j Job) kind() (jobKind, error) {
	for _, k := range jobKinds {
		if k.name == j.Kind {
			return k, nil
		}
	}
	return jobKind{}, fmt.Errorf("compare: no job %q", j.Kind)
}

func (b *bench) run(j Job) (result, error) {
	k, err := j.kind()
	if err != nil {
		return result{}, err
	}
	return k.run(b, j)
}

// died is the result of a job that ended its process.
func died(strategy string, rt bool, j Job, why string) result {
	k, err := j.kind()
	if err != nil {
		return result{}
	}
	return k.died(j.where(strategy, rt), why)
}

const (
	repeats  = 3 // of a timed cell
	more     = 4 // if they disagree
	burst    = 64
	heldMost = 512 // pages that a squeeze may hold
)

// agreeing is how many runs of a cell must agree.
const agreeing = 3

// some is n, or with quick a tenth of it, at least least.
func (b *bench) some(n, least int) int {
	if b.quick {
		return max(n/10, least)
	}
	return n
}

// repeat runs fn until the closest three of the figures that it returns agree.
func (b *bench) repeat(fn func() (float64, error)) (t Timed, err error) {
	var v []float64
	for len(v) < repeats || !b.quick && len(v) < repeats+more && kit.Spread(v, agreeing) > maxSpread {
		x, err := fn()
		if err != nil {
			return t, err
		}
		v = append(v, x)
	}
	return timedOf(v, agreeing), nil
}

// timedOf says how far k of the runs' figures agree.
func timedOf(v []float64, k int) Timed {
	s := kit.Spread(v, k)
	return Timed{Runs: len(v), Spread: s, Noisy: s > maxSpread}
}

// newBench finds out what reading the clock costs.
func newBench(strategy string) *bench {
	b := &bench{strategy: strategy}
	h := newHist()
	for range 20_000 {
		t := sys.Nanotime()
		h.add(sys.Nanotime() - t)
	}
	b.clock = int64(h.quantile(0.5))
	return b
}

// sweep evicts objects from the processor's caches.
func (b *bench) sweep() *kit.Sweep {
	if b.swept == nil {
		b.swept = kit.NewSweep(kit.SweepBytes)
	}
	return b.swept
}

// reference is a fixed piece of work, in ns a step: a walk through memory that
// is in no cache. Its variation over a run bounds how closely the figures of
// cells that were measured at different times can be compared.
func (b *bench) reference() float64 {
	const steps = 20_000
	b.sweep().Run()
	mem := b.sweep().Bytes()
	at := uint64(1)
	begin := sys.Nanotime()
	for range steps {
		at = at*6364136223846793005 + 1442695040888963407 + uint64(mem[at>>38%uint64(len(mem))])
	}
	took := float64(sys.Nanotime()-begin) / steps
	b.sum += byte(at)
	return took
}

// contender holds the allocator's lock a third of the time, until stop.
func contender(in *Instance) (stop func()) {
	quit, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		for {
			select {
			case <-quit:
				return
			default:
			}
			in.Contend(func() { spin(10_000) })
			sys.Sleep(20_000)
		}
	}()
	return func() { close(quit); <-done }
}

func spin(ns int64) {
	for begin := sys.Nanotime(); sys.Nanotime()-begin < ns; {
	}
}

// survive holds the lock that an allocation may meet elsewhere, for longer than
// any waiter spins, while a raw caller frees with its P's lists empty.
func (b *bench) survive(j Job) (*Survival, error) {
	in, err := New(b.strategy, Config{Depot: 1 << 30})
	if err != nil {
		return nil, err
	}
	objs, err := in.fill(8 * arrayCap)
	if err != nil {
		return nil, err
	}
	in.Stock(2 * heldMost)
	in.freeContended(objs, heldMost, 20e6)
	return &Survival{Where: b.where(j)}, in.Close()
}

// freeContended frees objs under a raw lock, with no page left of the most that
// this P may hold, while another goroutine holds the allocator's lock for ns.
func (in *Instance) freeContended(objs []*Object, most int, ns int64) {
	squeezed := in.Squeeze(most)
	c := in.newCaller(Raw)
	c.ready()
	held, freed := make(chan bool), make(chan bool)
	go func() {
		in.Contend(func() { close(held); spin(ns) })
		close(freed)
	}()
	<-held
	var raw lock.Raw
	raw.Lock()
	squeezed.Take()
	for _, o := range objs {
		c.free(o, true)
	}
	raw.Unlock()
	<-freed
	squeezed.Release()
}

// fill allocates n objects.
func (in *Instance) fill(n int) ([]*Object, error) {
	objs := make([]*Object, n)
	for i := range objs {
		if objs[i] = in.Alloc(); objs[i] == nil {
			return nil, fmt.Errorf("%s: no memory after %d of %d objects", in.Name, i, n)
		}
		objs[i].Stamp = uint64(i)
	}
	return objs, nil
}
