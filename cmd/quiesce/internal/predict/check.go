package predict

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// tolerance is how far off the model may be at one and two Ps.
const tolerance = 0.30

// Check compares a prediction with a measurement.
type Check struct {
	What      string  `json:"what"`
	Ps        int     `json:"ps"`
	Predicted float64 `json:"predicted_ns"`
	Measured  float64 `json:"measured_ns"`
	Ratio     float64 `json:"ratio"` // predicted / measured
	OK        bool    `json:"within_30_percent"`
	By        string  `json:"by"`
}

// Measured is what the checks compare with. It is taken between the rounds of the
// calibration, in runs of its own; no parameter comes from it.
type Measured struct {
	GP     [3]float64 // by Ps
	Churn  [3]float64 // processor time per object
	Reused [3]float64
	Remote float64 // time in Alloc and FreeBulk per object, two Ps
	Noise  float64 // share of the time that threads waited for a processor
}

func measure(ctx context.Context, effort float64) (m Measured, err error) {
	windows := max(int(400*effort), 8)
	sys.HasMembarrier() // until it is known, barriers stop the world
	back := procs(1)
	m.GP[1] = alone(ctx, windows, 10, repeat(rcu.Synchronize))
	back()
	back = procs(2)
	m.GP[2], _, err = besideOf(ctx, func() { sys.Pause(1) }, windows, 1, repeat(rcu.Synchronize))
	back()
	if err != nil {
		return m, err
	}
	nanos := int64(1e9 * effort)
	var noise usage
	for n := 1; n <= 2; n++ {
		u, err := m.churn(ctx, n, nanos)
		if err != nil {
			return m, err
		}
		noise.ran, noise.waited = noise.ran+u.ran, noise.waited+u.waited
	}
	m.Noise = noise.waited / max(noise.ran+noise.waited, 1)
	return m, m.remote(ctx, nanos)
}

// perObject is the processor time of an object; where the system does not
// report it, the wall's.
func perObject(u usage, ok bool, ps int, objects float64) float64 {
	if !ok {
		u.ran = u.wall * float64(ps)
	}
	return u.ran / max(objects, 1)
}

// churn allocates and frees by RCU on n Ps, workers included.
func (m *Measured) churn(ctx context.Context, n int, nanos int64) (usage, error) {
	defer procs(n)()
	c, end, err := newCache(depotSize)
	if err != nil {
		return usage{}, err
	}
	var done, failed atomic.Int64
	run := func(nanos int64) {
		var wg sync.WaitGroup
		stop := sys.Nanotime() + nanos
		for range n {
			wg.Go(func() {
				ps := make([]*obj, 1000)
				for sys.Nanotime() < stop && ctx.Err() == nil {
					for j := range ps {
						if ps[j] = c.Alloc(gfp.Kernel); ps[j] == nil {
							failed.Add(1)
						}
					}
					for _, p := range ps {
						c.FreeRCU(p)
					}
					done.Add(int64(len(ps)))
				}
			})
		}
		wg.Wait()
	}
	run(nanos / 4) // warm: slabs are made
	runtime.GC()
	done.Store(0)
	was := c.Stats()
	before, ok := use()
	run(nanos)
	after, _ := use()
	u := after.since(before)
	s := c.Stats()
	m.Churn[n] = perObject(u, ok, n, float64(done.Load()))
	reused, bulk := float64(s.Reused-was.Reused), float64(s.Bulk-was.Bulk)
	m.Reused[n] = reused / max(reused+bulk, 1)
	return u, end()
}

// remote allocates on one P and frees on another. It takes the median crate of either
// side: what passing one on costs is Go's, and differs from run to run by as much as
// all of the rest, since a side that finds none may sleep.
func (m *Measured) remote(ctx context.Context, nanos int64) error {
	defer procs(2)()
	c, end, err := newCache(depotSize)
	if err != nil {
		return err
	}
	var fill, empty []float64
	timed := func(v *[]float64, do func()) {
		t := sys.Nanotime()
		do()
		*v = append(*v, float64(sys.Nanotime()-t))
	}
	passCrates(ctx, nanos, func(ps []*obj) {
		timed(&fill, func() {
			for j := range ps {
				ps[j] = c.Alloc(gfp.Kernel)
			}
		})
	}, func(ps []*obj) {
		timed(&empty, func() { c.FreeBulk(ps) })
	})
	m.Remote = (kit.Quantile(fill, 0.5) + kit.Quantile(empty, 0.5)) / crate
	return end()
}

// crate is how many objects go to the other goroutine at a time.
const crate = 1000

// passCrates has a goroutine fill arrays and pass them to another, which empties
// them and passes them back.
func passCrates(ctx context.Context, nanos int64, fill, empty func([]*obj)) {
	there, back := make(chan []*obj, 8), make(chan []*obj, 8)
	for range cap(back) {
		back <- make([]*obj, crate)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for ps := range there {
			empty(ps)
			back <- ps
		}
	})
	for stop := sys.Nanotime() + nanos; sys.Nanotime() < stop && ctx.Err() == nil; {
		ps := <-back
		fill(ps)
		there <- ps
	}
	close(there)
	wg.Wait()
}

// checks compares the model with m. It also returns the shares of sheaves that
// were reused whole in the simulations.
func checks(p *Params, m Measured, seed uint64) (all []Check, reused [2]float64) {
	add := func(what string, ps int, predicted, measured float64, by string) {
		c := Check{What: what, Ps: ps, Predicted: predicted, Measured: measured, By: by}
		if measured > 0 {
			c.Ratio = predicted / measured
		}
		c.OK = c.Ratio >= 1-tolerance && c.Ratio <= 1+tolerance
		all = append(all, c)
	}
	for n := 1; n <= 2; n++ {
		add("grace period", n, p.GracePeriod(n).Mid, m.GP[n], "closed form")
	}
	for n := 1; n <= 2; n++ {
		r := Simulate(p, Load{Ps: n, Warm: 200e6, Nanos: 1e9, Seed: seed})
		add("churn, processor time per object", n, r.CPUPerObj, m.Churn[n], "simulation")
		reused[n-1] = r.Reused
	}
	add("remote free, time of both halves per object", 2, p.Remote(), m.Remote, "closed form")
	return all, reused
}

// Remote is the time of an object that is allocated on one P and freed on another: both
// halves; the lines of the array of pointers, there and back; those of the sheaf. A line
// holds 8 pointers or 16 offsets.
func (p *Params) Remote() float64 {
	lines := 2.0/8 + 2.0/16
	return p.AllocOnly + p.FreeBulk + lines*p.Line + 4*p.contended(0)/p.SheafCap
}
