package compare

import (
	"quiesce/cmd/quiesce/internal/kit"
	"slices"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit/perf"
	"quiesce/internal/sys"
	"quiesce/lockdep"
	"quiesce/rcu"
)

const (
	lightNS    = 1_000_000 // between two calls
	lightCalls = 100
	lightShots = 12
)

// light is a raw caller that frees an object every millisecond: what workers
// and timers cost when there is little to do, and how long an object waits.
func (b *bench) light(j Job) (*Light, error) {
	in, c, err := b.open(j, 1<<20)
	if err != nil {
		return nil, err
	}
	l := &Light{Where: b.where(j)}
	quiet := idle() // what the Go runtime does by itself
	// The caller's own sleeps are taken off: the same loop without a call.
	loop := func(free bool) (sleeps, gps, took float64) {
		gp := rcu.ReadStats().GracePeriods
		_, s := perf.Usage()
		begin := sys.Nanotime()
		for range b.some(lightCalls, 20) {
			if o := c.alloc(); free && o != nil {
				c.do(func(raw bool) { c.free(o, raw) })
			} else {
				in.cache.Free(o)
			}
			sys.Sleep(lightNS)
		}
		_, s2 := perf.Usage()
		return float64(s2 - s), float64(rcu.ReadStats().GracePeriods - gp), float64(sys.Nanotime()-begin) / 1e9
	}
	var wakes, gps []float64
	t, err := b.repeat(func() (float64, error) {
		own, _, took := loop(false)
		all, gp, took2 := loop(true)
		in.Barrier()
		wakes, gps = append(wakes, all/took2-own/took), append(gps, gp/took2)
		return all / took2, nil
	})
	if err != nil {
		return nil, err
	}
	l.Timed, l.WakeupsPS, l.GPsPerS = t, max(kit.Median(wakes), 0), kit.Median(gps)

	sys.Sleep(50_000_000) // until all is quiet
	l.IdleWakes = max(idle()-quiet, 0)

	var waits []float64
	for range b.some(lightShots, 3) {
		in.Barrier()
		before := in.Counts().Reclaimed
		o := c.alloc()
		begin := sys.Nanotime()
		c.do(func(raw bool) { c.free(o, raw) })
		for in.Counts().Reclaimed == before && sys.Nanotime()-begin < 200e6 {
			sys.Sleep(50_000)
			c.idle()
		}
		waits = append(waits, float64(sys.Nanotime()-begin)/1e6)
	}
	l.LatencyMS, l.LatencyMax = kit.Median(waits), slices.Max(waits)
	return l, in.Close()
}

// idle is how often a second threads sleep while nothing is done.
func idle() float64 {
	sys.Sleep(20_000_000)
	_, s := perf.Usage()
	begin := sys.Nanotime()
	sys.Sleep(100_000_000)
	_, s2 := perf.Usage()
	return float64(s2-s) / (float64(sys.Nanotime()-begin) / 1e9)
}

const (
	memoryNS    = 300_000_000
	sampleNS    = 5_000_000
	memoryGuard = 20_000_000
)

// memory floods from raw and plain contexts while a reader is there for 20 ms
// at a time, and samples what the allocator has handed out: objects, live and free, and arrays. It has a limit of 64 MiB,
// so that strategies that can't keep up have to wait.
func (b *bench) memory(j Job) (*Memory, error) {
	in, err := New(b.strategy, Config{Limit: 64 << 20, Depot: 1 << 20})
	if err != nil {
		return nil, err
	}
	m := &Memory{Where: b.where(j)}
	begin := sys.Nanotime()
	var stop atomic.Bool
	done := make(chan bool, 2)
	go func() {
		for !stop.Load() {
			g := rcu.ReadLock()
			sys.Sleep(memoryGuard)
			g.Unlock()
		}
		done <- true
	}()
	go func() {
		for !stop.Load() {
			m.At = append(m.At, float64(sys.Nanotime()-begin)/1e6)
			m.Bytes = append(m.Bytes, in.Pages().InUse)
			sys.Sleep(sampleNS)
		}
		done <- true
	}()
	c := in.newCaller(j.Caller)
	var objs [burst]*Object
	for sys.Nanotime()-begin < memoryNS {
		for i := range objs {
			objs[i] = c.alloc()
		}
		c.do(func(raw bool) {
			for _, o := range objs {
				if o != nil {
					c.free(o, raw)
				}
			}
		})
	}
	stop.Store(true)
	<-done
	<-done
	m.Peak = in.Pages().Peak
	return m, in.Close()
}

// lockdep frees in every context with the lists empty and lockdep on. It comes
// last in a process: lockdep stays on.
func (b *bench) lockdep(j Job) (*Survival, error) {
	in, err := New(b.strategy, Config{Depot: 1 << 20})
	if err != nil {
		return nil, err
	}
	s := &Survival{Where: b.where(j), Reports: []string{}}
	reports := make(chan *lockdep.Report, 100)
	lockdep.Enable()
	lockdep.SetReporter(func(r *lockdep.Report) {
		select {
		case reports <- r:
		default:
		}
	})
	in.Stock(2 * heldMost)
	objs, err := in.fill(8 * arrayCap)
	if err != nil {
		return nil, err
	}
	squeezed, c := in.Squeeze(heldMost), in.newCaller(j.Caller)
	for n := 0; n < len(objs); n += burst {
		c.do(func(raw bool) {
			if raw {
				squeezed.Take()
			}
			for _, o := range objs[n:min(n+burst, len(objs))] {
				c.free(o, raw)
			}
		})
	}
	squeezed.Release()
	in.Barrier()
	sys.Sleep(int64(50 * time.Millisecond)) // a pinned one's report comes from elsewhere
	for len(reports) > 0 {
		r := <-reports
		s.Reports = append(s.Reports, r.Kind)
		if s.First == "" {
			s.First = r.Text
		}
	}
	return s, in.Close()
}
