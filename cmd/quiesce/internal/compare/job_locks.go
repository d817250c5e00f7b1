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
	for range b.some(stressRuns, agreeing) {
		r, err := stress(new(lock.Raw), true, int64(b.some(stressNS, stressNS/4)))
		if err != nil {
			return nil, err
		}
		s, err := stress(new(lock.Spin), !preempt.RT(), int64(b.some(stressNS, stressNS/4)))
		if err != nil {
			return nil, err
		}
		raws, spins = append(raws, r), append(spins, s)
	}
	var holds []float64
	for _, r := range raws {
		holds = append(holds, r.HoldMax)
	}
	l.Timed = timedOf(holds, agreeing)
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

// stressed is a pool under stress, and what its workers saw.
type stressed struct {
	*pool
	pins                    bool // a goroutine that waits for the lock is pinned
	stop                    atomic.Bool
	ops, holdMax, pinnedMax atomic.Int64
}

func stress(pl poolLock, pins bool, ns int64) (Lock, error) {
	in, err := New("list", Config{})
	if err != nil {
		return Lock{}, err
	}
	p, err := newPool(in, "compare.stress.zone", pl)
	if err != nil {
		return Lock{}, err
	}
	for range 3 {
		p.grow(noWarn)
	}
	s := &stressed{pool: p, pins: pins}
	var wg sync.WaitGroup
	begin := sys.Nanotime()
	for w := range runtime.GOMAXPROCS(0) {
		wg.Go(func() { s.work(uint64(w)) })
	}
	late := lateness(ns)
	s.stop.Store(true)
	wg.Wait()
	l := Lock{
		HoldMax: float64(s.holdMax.Load()), PinnedMax: float64(s.pinnedMax.Load()),
		WakeP50: late.quantile(0.5), WakeP99: late.quantile(0.99), WakeMax: float64(late.max),
		OpsPerS: float64(s.ops.Load()) / (float64(sys.Nanotime()-begin) / 1e9),
	}
	if err := p.close(); err != nil {
		return l, err
	}
	return l, in.Close()
}

// work takes pages and frees them in bulk until s.stop is set.
func (s *stressed) work(k uint64) {
	pages := make([]*array, 0, stressPages)
	for ; !s.stop.Load(); k++ {
		for range stressPages {
			s.lock.LockIRQ()
			a := s.takeLocked()
			s.lock.UnlockIRQ()
			if a != nil {
				pages = append(pages, a)
			}
		}
		for i := range pages { // not in the order that merges at once
			n := int(k*2654435761+uint64(i)*40503) % len(pages)
			pages[i], pages[n] = pages[n], pages[i]
		}
		begin := sys.Nanotime()
		s.lock.LockIRQ()
		got := sys.Nanotime()
		for _, a := range pages {
			s.putLocked(a)
		}
		held := sys.Nanotime()
		s.lock.UnlockIRQ()
		pages = pages[:0]
		raise(&s.holdMax, held-got)
		if s.pins {
			raise(&s.pinnedMax, held-begin)
		}
		s.ops.Add(1)
		runtime.Gosched()
	}
}

// raise makes a at least v.
func raise(a *atomic.Int64, v int64) {
	for old := a.Load(); v > old && !a.CompareAndSwap(old, v); old = a.Load() {
	}
}

// lateness sleeps again and again for ns in all, on a thread of its own, and
// counts how late it wakes up.
func lateness(ns int64) *hist {
	late := newHist()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for begin := sys.Nanotime(); sys.Nanotime()-begin < ns; {
		t := sys.Nanotime()
		sys.Sleep(wakeNS)
		late.add(sys.Nanotime() - t - wakeNS)
	}
	return late
}

// counters are what tracking would keep: one for each P.
var counters [percpu.MaxP / 256]struct {
	n uint64
	_ [percpu.Line - 8]byte
}

// tracked are the loops whose times show the objection's cost: a counter in
// sections that had none.
var tracked = []struct {
	out  func(*Tracking) *float64
	loop func(n int)
}{
	{func(t *Tracking) *float64 { return &t.Bare }, func(n int) {
		for range n {
			sys.ProcPin()
			sys.ProcUnpin()
		}
	}},
	{func(t *Tracking) *float64 { return &t.Counted }, func(n int) {
		for range n {
			c := &counters[sys.ProcPin()%len(counters)].n
			*c++
			*c--
			sys.ProcUnpin()
		}
	}},
	{func(t *Tracking) *float64 { return &t.Disable }, func(n int) {
		for range n {
			p := preempt.Disable()
			p.Enable()
		}
	}},
	{func(t *Tracking) *float64 { return &t.Atomic }, func(n int) {
		for range n {
			atomicSeen = preempt.Atomic() || atomicSeen
		}
	}},
	{func(t *Tracking) *float64 { return &t.Raw }, func(n int) {
		var raw lock.Raw
		for range n {
			raw.Lock()
			//lint:ignore SA2001 the pair is what is timed
			raw.Unlock()
		}
	}},
	{func(t *Tracking) *float64 { return &t.Tracked }, func(n int) {
		var raw lock.Raw
		for range n {
			raw.Lock()
			c := &counters[0].n
			*c++
			*c--
			raw.Unlock()
		}
	}},
}

var atomicSeen bool

// tracking times the loops of tracked: the least of many short runs, of which
// some are not disturbed.
func (b *bench) tracking(Job) (*Tracking, error) {
	const runs, n = 200, 20_000
	t := new(Tracking)
	for _, k := range tracked {
		var v []float64
		for range runs {
			begin := sys.Nanotime()
			k.loop(n)
			v = append(v, float64(sys.Nanotime()-begin)/n)
		}
		slices.Sort(v)
		*k.out(t) = v[0]
		if x := timedOf(v[:agreeing], agreeing); x.Spread > t.Spread {
			t.Timed = x
		}
	}
	t.Runs = runs
	return t, nil
}
