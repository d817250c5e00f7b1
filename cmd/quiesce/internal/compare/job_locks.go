package compare

import (
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
)

const (
	stressPages = 512 // freed under one hold, as free_pcppages_bulk does
	stressNS    = 200_000_000
	stressRuns  = 7
	wakeNS      = 300_000 // a locked thread sleeps that long
)

// locks puts the pool under stress, once with a raw lock and once with a
// lock.Spin: goroutines take pages one by one and free them in bulk, under one
// hold. A goroutine with a thread of its own sleeps and looks how late it is
// woken up.
func (b *bench) locks(j Job) (*Locks, error) {
	l := &Locks{RT: preempt.RT()}
	var raws, spins []Lock
	for range stressRuns {
		r, err := stress(new(lock.Raw), true)
		if err != nil {
			return nil, err
		}
		s, err := stress(new(lock.Spin), !preempt.RT())
		if err != nil {
			return nil, err
		}
		raws, spins = append(raws, r), append(spins, s)
	}
	var holds []float64
	for _, r := range raws {
		holds = append(holds, r.HoldMax)
	}
	l.Timed = Timed{Runs: stressRuns, Spread: spread(holds), Noisy: spread(holds) > maxSpread}
	l.Raw, l.Spin = least(raws), least(spins)
	return l, nil
}

// least takes the least of each figure: what disturbs a run from outside only
// makes its longest times longer.
func least(runs []Lock) Lock {
	get := func(f func(Lock) float64) float64 {
		var v []float64
		for _, r := range runs {
			v = append(v, f(r))
		}
		return slices.Min(v)
	}
	return Lock{
		HoldMax:   get(func(l Lock) float64 { return l.HoldMax }),
		PinnedMax: get(func(l Lock) float64 { return l.PinnedMax }),
		WakeP50:   get(func(l Lock) float64 { return l.WakeP50 }),
		WakeP99:   get(func(l Lock) float64 { return l.WakeP99 }),
		WakeMax:   get(func(l Lock) float64 { return l.WakeMax }),
		OpsPerS:   get(func(l Lock) float64 { return l.OpsPerS }), BatchPages: stressPages,
	}
}

func stress(pl poolLock, pins bool) (Lock, error) {
	in, err := New("list", Config{})
	if err != nil {
		return Lock{}, err
	}
	p, err := newPool(in, pl)
	if err != nil {
		return Lock{}, err
	}
	for range 3 {
		p.grow(noWarn)
	}
	var stop atomic.Bool
	var ops, holdMax, pinnedMax atomic.Int64
	raise := func(a *atomic.Int64, v int64) {
		for old := a.Load(); v > old && !a.CompareAndSwap(old, v); old = a.Load() {
		}
	}
	var wg sync.WaitGroup
	for w := range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			pages := make([]*array, 0, stressPages)
			for k := uint64(w); !stop.Load(); k++ {
				for range stressPages {
					pl.LockIRQ()
					a := p.takeLocked()
					pl.UnlockIRQ()
					if a != nil {
						pages = append(pages, a)
					}
				}
				for i := range pages { // not in the order that merges at once
					n := int(k*2654435761+uint64(i)*40503) % len(pages)
					pages[i], pages[n] = pages[n], pages[i]
				}
				begin := sys.Nanotime()
				pl.LockIRQ()
				got := sys.Nanotime()
				for _, a := range pages {
					p.putLocked(a)
				}
				held := sys.Nanotime()
				pl.UnlockIRQ()
				pages = pages[:0]
				raise(&holdMax, held-got)
				if pins {
					raise(&pinnedMax, held-begin)
				}
				ops.Add(1)
				runtime.Gosched()
			}
		})
	}
	var late hist
	runtime.LockOSThread()
	begin := sys.Nanotime()
	for sys.Nanotime()-begin < stressNS {
		t := sys.Nanotime()
		sys.Sleep(wakeNS)
		late.add(sys.Nanotime() - t - wakeNS)
	}
	runtime.UnlockOSThread()
	stop.Store(true)
	wg.Wait()
	l := Lock{
		HoldMax: float64(holdMax.Load()), PinnedMax: float64(pinnedMax.Load()),
		WakeP50: late.quantile(0.5), WakeP99: late.quantile(0.99), WakeMax: float64(late.max),
		OpsPerS: float64(ops.Load()) / (float64(sys.Nanotime()-begin) / 1e9),
	}
	if err := p.close(); err != nil {
		return l, err
	}
	return l, in.Close()
}

// counters are what tracking would keep: one for each P.
var counters [percpu.MaxP / 256]struct {
	n uint64
	_ [percpu.Line - 8]byte
}

// tracking times what the mail's objection is about: a counter in sections
// that had none.
func (b *bench) tracking() *Tracking {
	t := new(Tracking)
	var raw lock.Raw
	sink := false
	timed := func(out *float64, fn func(n int)) {
		const n = 20_000 // short, so that some are not disturbed
		var v []float64
		for range 200 {
			begin := sys.Nanotime()
			fn(n)
			v = append(v, float64(sys.Nanotime()-begin)/n)
		}
		*out = slices.Min(v)
		slices.Sort(v)
		v = v[:3]
		if s := spread(v); s > t.Spread {
			t.Spread, t.Noisy = s, s > maxSpread
		}
		t.Runs = 200
	}
	timed(&t.Bare, func(n int) {
		for range n {
			sys.ProcPin()
			sys.ProcUnpin()
		}
	})
	timed(&t.Counted, func(n int) {
		for range n {
			c := &counters[sys.ProcPin()%len(counters)].n
			*c++
			*c--
			sys.ProcUnpin()
		}
	})
	timed(&t.Disable, func(n int) {
		for range n {
			p := preempt.Disable()
			p.Enable()
		}
	})
	timed(&t.Atomic, func(n int) {
		for range n {
			sink = preempt.Atomic() || sink
		}
	})
	timed(&t.Raw, func(n int) {
		for range n {
			raw.Lock()
			//lint:ignore SA2001 the pair is what is timed
			raw.Unlock()
		}
	})
	timed(&t.Tracked, func(n int) {
		for range n {
			raw.Lock()
			c := &counters[0].n
			*c++
			*c--
			raw.Unlock()
		}
	})
	return t
}
