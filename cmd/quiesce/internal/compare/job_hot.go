package compare

import (
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/kit/perf"
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// hotBursts is how many bursts a run of a hot cell has: more than the 64 that
// the exhausted case has to a reader.
func (b *bench) hotBursts() int { return b.some(500, 130) }

// hotRun is one run of a hot cell.
type hotRun struct {
	calls         *hist
	longestRaw    int64
	call          []float64 // ns for a call, by burst
	churn, cpu    float64   // ns for an object
	gps, sleeps   float64   // a second
	misses        float64
	missesCounted bool
}

// open makes an instance and a caller for a job.
func (b *bench) open(j Job, depot int64) (*Instance, *caller, error) {
	in, err := New(b.strategy, Config{Depot: depot})
	if err != nil {
		return nil, nil, err
	}
	return in, in.newCaller(j.Caller), nil
}

// hot churns: a burst of objects is allocated and written, and freed in the
// next context; half of the bursts have each call timed. In the exhausted case
// this P's page list is emptied before each burst, all caches are asked for
// memory now and then, a reader holds grace periods up for a stretch at a time,
// and another goroutine holds the allocator's lock a third of the time.
func (b *bench) hot(j Job) (*Hot, error) {
	in, c, err := b.open(j, 16<<20)
	if err != nil {
		return nil, err
	}
	h := &Hot{Where: b.where(j)}
	if _, err := b.hotOnce(in, j, c); err != nil { // warm
		return nil, err
	}
	var runs []*hotRun
	before := in.Counts()
	h.Timed, err = b.repeat(func() (float64, error) {
		r, err := b.hotOnce(in, j, c)
		if err != nil {
			return 0, err
		}
		runs = append(runs, r)
		return r.churn, nil
	})
	if err != nil {
		return nil, err
	}
	h.Fallback = in.Counts().since(before).fallbackShare()
	h.sum(runs)
	if h.Reclaim, err = b.reclaimHot(in, j, c); err != nil {
		return nil, err
	}
	h.Peak = in.Pages().Peak
	return h, in.Close()
}

// sum fills in what comes from the runs.
func (h *Hot) sum(runs []*hotRun) {
	all := newHist()
	var misses []float64
	for _, r := range runs {
		all.merge(r.calls)
		if r.missesCounted {
			misses = append(misses, r.misses)
		}
	}
	middle := func(get func(*hotRun) float64) float64 {
		var v []float64
		for _, r := range runs {
			v = append(v, get(r))
		}
		return kit.Median(v)
	}
	h.Call = middle(func(r *hotRun) float64 { return kit.Median(r.call) })
	h.P50, h.P99, h.Max = all.quantile(0.5), all.quantile(0.99), float64(all.max)
	h.Calls = all.doublings()
	h.RawMax = middle(func(r *hotRun) float64 { return float64(r.longestRaw) })
	h.Churn = middle(func(r *hotRun) float64 { return r.churn })
	h.ChurnCPU = middle(func(r *hotRun) float64 { return r.cpu })
	h.GPsPerS = middle(func(r *hotRun) float64 { return r.gps })
	h.SleepsPerS = middle(func(r *hotRun) float64 { return r.sleeps })
	if len(misses) > 0 {
		m := kit.Median(misses)
		h.Misses = &m
	}
}

func (b *bench) hotOnce(in *Instance, j Job, c *caller) (*hotRun, error) {
	in.Stock(2 * heldMost)
	squeezed := in.Squeeze(heldMost)
	if j.Exhausted {
		defer contender(in)()
	}
	r := &hotRun{calls: newHist(), call: make([]float64, 0, b.hotBursts())}
	counter, err := perf.CountMisses()
	if err == nil {
		defer counter.Close()
		r.missesCounted = true
	}
	gp := rcu.ReadStats().GracePeriods
	cpu, sleeps := perf.Usage()
	begin := sys.Nanotime()
	if err := b.bursts(in, j, c, squeezed, r); err != nil {
		return nil, err
	}
	in.Barrier()
	end := sys.Nanotime()
	cpu2, sleeps2 := perf.Usage()
	objects := float64(b.hotBursts() * burst)
	seconds := float64(end-begin) / 1e9
	r.churn, r.cpu = float64(end-begin)/objects, float64(cpu2-cpu)/objects
	r.gps, r.sleeps = float64(rcu.ReadStats().GracePeriods-gp)/seconds, float64(sleeps2-sleeps)/seconds
	if r.missesCounted {
		r.misses = float64(counter.Read()) / objects
	}
	return r, nil
}

// bursts allocates and frees the bursts of a run.
func (b *bench) bursts(in *Instance, j Job, c *caller, squeezed *Squeezed, r *hotRun) error {
	var objs [burst]*Object
	var g rcu.Guard
	for n := range b.hotBursts() {
		if j.Exhausted && n%64 == 0 {
			if n > 0 {
				g.Unlock()
			}
			pages.CoreOf(in.pages).Reclaim(page.Size)
			g = rcu.ReadLock()
		}
		for i := range objs {
			if objs[i] = c.alloc(); objs[i] == nil {
				if j.Exhausted {
					g.Unlock()
				}
				return errNoObject
			}
			objs[i].Stamp = uint64(n)
		}
		c.do(func(raw bool) {
			if j.Exhausted {
				p := preempt.Disable()
				squeezed.Take()
				p.Enable()
			}
			// Every other pair of bursts is timed as a whole, because a
			// clock may tick in steps larger than a call.
			if n&2 == 0 {
				t := sys.Nanotime()
				for _, o := range objs {
					c.free(o, raw)
				}
				r.call = append(r.call, float64(sys.Nanotime()-t-b.clock)/burst)
				return
			}
			b.timeEach(c, &objs, raw, r)
		})
		squeezed.Release()
	}
	if j.Exhausted {
		g.Unlock()
	}
	return nil
}

// timeEach frees a burst and times each call. The histogram gets the times
// after the last one, so that counting is in none of them.
func (b *bench) timeEach(c *caller, objs *[burst]*Object, raw bool, r *hotRun) {
	var at [burst + 1]int64
	at[0] = sys.Nanotime()
	for i, o := range objs {
		c.free(o, raw)
		at[i+1] = sys.Nanotime()
	}
	for i := range objs {
		d := max(at[i+1]-at[i]-b.clock, 0)
		r.calls.add(d)
		if raw {
			r.longestRaw = max(r.longestRaw, d)
		}
	}
}

// reclaimHot is the processor time from the last reader's end until everything
// is back, for objects that were just used.
func (b *bench) reclaimHot(in *Instance, j Job, c *caller) (float64, error) {
	objects := b.some(32<<10, 4<<10)
	var v []float64
	for range repeats {
		objs, err := in.fill(objects)
		if err != nil {
			return 0, err
		}
		g := rcu.ReadLock()
		for n := 0; n < len(objs); n += burst {
			c.do(func(raw bool) {
				for _, o := range objs[n : n+burst] {
					c.free(o, raw)
				}
			})
		}
		cpu, _ := perf.Usage()
		g.Unlock()
		in.Barrier()
		cpu2, _ := perf.Usage()
		v = append(v, float64(cpu2-cpu)/float64(objects))
	}
	return kit.Median(v), nil
}
