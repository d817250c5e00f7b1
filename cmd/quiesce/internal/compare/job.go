package compare

import (
	"fmt"

	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

// Job is one thing to measure, in a process of its strategy's own.
type Job struct {
	Kind      string `json:"kind"` // hot, cold, light, memory, survive, lockdep, locks, tracking
	Caller    Caller `json:"caller"`
	Exhausted bool   `json:"exhausted"`
	Objects   int    `json:"objects,omitempty"`
}

// bench runs jobs in a child.
type bench struct {
	strategy string
	evict    []byte
	sum      byte
	clock    int64 // ns between two looks at the clock
}

func (b *bench) where(j Job) Where {
	return Where{Strategy: b.strategy, Caller: j.Caller.String(), RT: preempt.RT(), Exhausted: j.Exhausted}
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

func (b *bench) run(j Job) (r result, err error) {
	switch j.Kind {
	case "hot":
		r.Hot, err = b.hot(j)
	case "cold":
		r.Cold, err = b.cold(j)
	case "light":
		r.Light, err = b.light(j)
	case "memory":
		r.Memory, err = b.memory(j)
	case "survive":
		r.Survival, err = b.survive(j)
	case "lockdep":
		r.Survival, err = b.lockdep(j)
	case "locks":
		r.Locks, err = b.locks(j)
	case "tracking":
		r.Tracking = b.tracking()
	default:
		err = fmt.Errorf("compare: no job %q", j.Kind)
	}
	return r, err
}

// died is the result of a job that ended its process.
func died(strategy string, rt bool, j Job, why string) (r result) {
	w := Where{Strategy: strategy, Caller: j.Caller.String(), RT: rt, Exhausted: j.Exhausted}
	switch j.Kind {
	case "hot":
		r.Hot = &Hot{Where: w, Died: why}
	case "cold":
		r.Cold = &Cold{Where: w, Died: why}
	case "light":
		r.Light = &Light{Where: w, Died: why}
	case "memory":
		r.Memory = &Memory{Where: w, Died: why}
	case "survive":
		r.Survival = &Survival{Where: w, Died: why}
	case "lockdep":
		r.Survival = &Survival{Where: w, LDDied: why}
	}
	return r
}

const (
	repeats  = 3 // of a timed cell
	more     = 4 // if they disagree
	burst    = 64
	heldMost = 512 // pages that a squeeze may hold
)

// repeat runs fn until the closest three of the figures that it returns agree.
func repeat(fn func() (float64, error)) (t Timed, err error) {
	var v []float64
	for len(v) < repeats || len(v) < repeats+more && spread(v) > maxSpread {
		x, err := fn()
		if err != nil {
			return t, err
		}
		v = append(v, x)
	}
	s := spread(v)
	return Timed{Runs: len(v), Spread: s, Noisy: s > maxSpread}, nil
}

// newBench finds out what a look at the clock costs.
func newBench(strategy string) *bench {
	b := &bench{strategy: strategy}
	var h hist
	for range 20_000 {
		t := sys.Nanotime()
		d := sys.Nanotime() - t
		h.add(d)
	}
	b.clock = int64(h.quantile(0.5))
	return b
}

// makeCold evicts objects from the processor's caches by reading what is three
// times larger than the largest seen.
func (b *bench) makeCold() {
	if b.evict == nil {
		b.evict = make([]byte, 96<<20)
		for i := 0; i < len(b.evict); i += 4096 {
			b.evict[i] = 1 // memory of its own, and not one page of zeros
		}
	}
	for i := 0; i < len(b.evict); i += 64 {
		b.sum += b.evict[i]
	}
}

// reference is a fixed piece of work, in ns a step: a walk through memory that
// is in no cache. How much it varies over a run tells how far figures of cells
// that were measured at different times may be held against each other.
func (b *bench) reference() float64 {
	const steps = 20_000
	b.makeCold()
	at := uint64(1)
	begin := sys.Nanotime()
	for range steps {
		at = at*6364136223846793005 + 1442695040888963407 + uint64(b.evict[at>>38%uint64(len(b.evict))])
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

// survive has the lock that an allocation may meet held elsewhere, for longer
// than anybody spins, while a raw caller frees with its P's lists empty.
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
	squeezed := in.Squeeze(heldMost)
	held, freed := make(chan bool), make(chan bool)
	go func() {
		in.Contend(func() { close(held); spin(20e6) })
		close(freed)
	}()
	<-held
	var raw lock.Raw
	raw.Lock()
	squeezed.Take()
	for _, o := range objs {
		in.FreeRaw(o)
	}
	raw.Unlock()
	<-freed
	squeezed.Release()
	return &Survival{Where: b.where(j)}, in.Close()
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
