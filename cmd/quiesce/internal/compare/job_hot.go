package compare

import (
	"quiesce/internal/pages"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// hotBursts is how many bursts a run of a hot cell has.
const hotBursts = 500

// hotRun is one run of a hot cell.
type hotRun struct {
	calls, raw       hist
	call             []float64 // ns for a call, by burst
	churn, cpu       float64   // ns for an object
	gps, sleeps, ran float64
	misses           float64
	counted          bool
}

// hot churns: a burst of objects is allocated and written, and freed in the
// next context; half of the bursts have each call timed. In the exhausted case this P's page list is
// emptied before each burst, all caches are asked for memory now and then, a
// reader holds grace periods up for a stretch at a time, and somebody else
// holds the allocator's lock a third of the time.
func (b *bench) hot(j Job) (*Hot, error) {
	in, err := New(b.strategy, Config{Depot: 16 << 20})
	if err != nil {
		return nil, err
	}
	h := &Hot{Where: b.where(j)}
	var all hist
	var rawMax, call, churn, cpu, gps, sleeps, misses []float64
	c := newCaller(j.Caller)
	one := func() (float64, error) {
		r := new(hotRun)
		if err := b.hotOnce(in, j, c, r); err != nil {
			return 0, err
		}
		for i, n := range r.calls.n {
			all.n[i] += n
		}
		all.all += r.calls.all
		all.max = max(all.max, r.calls.max)
		rawMax = append(rawMax, float64(r.raw.max))
		call = append(call, median(r.call))
		churn, cpu = append(churn, r.churn), append(cpu, r.cpu)
		gps, sleeps = append(gps, r.gps/r.ran), append(sleeps, r.sleeps/r.ran)
		if r.counted {
			misses = append(misses, r.misses)
		}
		return r.churn, nil
	}
	if _, err := one(); err != nil { // warm
		return nil, err
	}
	all, rawMax, call, churn, cpu, gps, sleeps, misses = hist{}, nil, nil, nil, nil, nil, nil, nil
	before := in.Counts()
	if h.Timed, err = repeat(one); err != nil {
		return nil, err
	}
	after := in.Counts()
	if n := after.Arrays + after.Fallback - before.Arrays - before.Fallback; n > 0 {
		h.Fallback = float64(after.Fallback-before.Fallback) / float64(n)
	}
	h.Call = median(call)
	h.P50, h.P99, h.Max = all.quantile(0.5), all.quantile(0.99), float64(all.max)
	h.Calls = all.doublings()
	h.RawMax, h.Churn, h.ChurnCPU = median(rawMax), median(churn), median(cpu)
	h.GPsPerS, h.SleepsPerS = median(gps), median(sleeps)
	if len(misses) > 0 {
		m := median(misses)
		h.Misses = &m
	}
	if h.Reclaim, err = b.reclaimHot(in, j, c); err != nil {
		return nil, err
	}
	h.Peak = in.Pages().Peak
	return h, in.Close()
}

func (b *bench) hotOnce(in *Instance, j Job, c *caller, r *hotRun) error {
	in.Stock(2 * heldMost)
	squeezed := in.Squeeze(heldMost)
	if j.Exhausted {
		defer contender(in)()
	}
	counter, err := sys.CountMisses()
	if err == nil {
		defer counter.Close()
		r.counted = true
	}
	r.call = make([]float64, 0, hotBursts)
	var objs [burst]*Object
	gp := rcu.ReadStats().GracePeriods
	cpu, sleeps := sys.Usage()
	begin := sys.Nanotime()
	var g rcu.Guard
	for n := range hotBursts {
		if j.Exhausted && n%64 == 0 {
			if n > 0 {
				g.Unlock()
			}
			pages.CoreOf(in.pages).Reclaim(page.Size)
			g = rcu.ReadLock()
		}
		for i := range objs {
			if objs[i] = in.cache.Alloc(noWarn); objs[i] == nil {
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
			t := sys.Nanotime()
			// Every other pair of bursts is timed as a whole, because a
			// clock may tick in steps larger than a call.
			if n&2 == 0 {
				for _, o := range objs {
					in.freeOne(o, raw)
				}
				r.call = append(r.call, float64(sys.Nanotime()-t-b.clock)/burst)
				return
			}
			for _, o := range objs {
				in.freeOne(o, raw)
				now := sys.Nanotime()
				d := max(now-t-b.clock, 0)
				r.calls.add(d)
				if raw {
					r.raw.add(d)
				}
				t = now
			}
		})
		squeezed.Release()
	}
	if j.Exhausted {
		g.Unlock()
	}
	in.Barrier()
	end := sys.Nanotime()
	cpu2, sleeps2 := sys.Usage()
	const objects = hotBursts * burst
	r.ran = float64(end-begin) / 1e9
	r.churn, r.cpu = float64(end-begin)/objects, float64(cpu2-cpu)/objects
	r.gps, r.sleeps = float64(rcu.ReadStats().GracePeriods-gp), float64(sleeps2-sleeps)
	if r.counted {
		r.misses = float64(counter.Read()) / objects
	}
	return nil
}

// reclaimHot is the processor time from the last reader's end until everything
// is back, for objects that were just used.
func (b *bench) reclaimHot(in *Instance, j Job, c *caller) (float64, error) {
	const objects = 32 << 10
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
					in.freeOne(o, raw)
				}
			})
		}
		cpu, _ := sys.Usage()
		g.Unlock()
		in.Barrier()
		cpu2, _ := sys.Usage()
		v = append(v, float64(cpu2-cpu)/objects)
	}
	return median(v), nil
}
