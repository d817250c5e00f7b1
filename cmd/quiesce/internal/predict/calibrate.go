package predict

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// Calibration is a set of parameters and the run that gave them.
type Calibration struct {
	Machine string    `json:"machine"`
	Params  Params    `json:"params"`
	GP      []GPPoint `json:"grace_period_over_gomaxprocs"` // scan check
}

// GPPoint is Synchronize at one GOMAXPROCS, nobody else running.
type GPPoint struct {
	Ps    int     `json:"ps"`
	Model float64 `json:"model_ns"`
	Here  float64 `json:"measured_ns"`
}

type obj [objectSize / 8]uint64

// Calibrate measures. Effort 1 is the normal one, less is quicker and rougher.
// tell is called with the name of each step.
func Calibrate(ctx context.Context, effort float64, tell func(step string)) (*Calibration, error) {
	c := &Calibration{Machine: machine()}
	m := &meter{ctx: ctx, windows: max(int(400*effort), 8), p: &c.Params}
	steps := []struct {
		name string
		fn   func() error
	}{
		{"membarrier", m.membarrier},
		{"lines between processors", m.lines},
		{"grace periods over GOMAXPROCS", func() error { c.GP = m.gracePeriods(); return nil }},
		{"drain scan", m.drain},
		{"stack of sheaves", m.stack},
		{"lock.Spin", m.spin},
		{"fast paths", m.fast},
		{"slabs and sheaves", m.slabs},
		{"hand-over", m.handover},
		{"pages", m.pages},
	}
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tell(s.name)
		if err := s.fn(); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c, c.Params.Check()
}

type meter struct {
	ctx     context.Context
	windows int
	p       *Params
}

func (m *meter) alone(batch int, fn func(n int)) float64 {
	return alone(m.ctx, m.windows, batch, fn)
}

func repeat(fn func()) func(int) {
	return func(n int) {
		for range n {
			fn()
		}
	}
}

// membarrier alone, beside a peer, and what the peer loses by it.
func (m *meter) membarrier() error {
	back := procs(1)
	m.p.MembarrierAlone = m.alone(20, repeat(sys.Membarrier))
	back()
	defer procs(2)()
	spin := func() { sys.Pause(1) }
	_, free, err := besideOf(m.ctx, spin, m.windows, 300, func(n int) { sys.Pause(uint32(n)) })
	ns, under, err2 := besideOf(m.ctx, spin, m.windows, 1, repeat(sys.Membarrier))
	if err := cmp.Or(err, err2); err != nil {
		return err
	}
	m.p.MembarrierPeer = max(ns, m.p.MembarrierAlone)
	m.p.IPISteal = min(max(1-under/free, 0)*m.p.MembarrierPeer, m.p.MembarrierPeer)
	return nil
}

// lines: one side writes to 512 lines a percpu.Line apart, then the other reads
// them, as a driver reads what Ps wrote.
func (m *meter) lines() error {
	defer procs(2)()
	const n = 512
	room := make([]struct {
		v atomic.Uint64
		_ [percpu.Line - 8]byte
	}, n)
	var turn atomic.Uint32 // odd: the writer's
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for !stop.Load() {
			if turn.Load()&1 == 0 {
				sys.Pause(1)
				continue
			}
			for i := range room {
				room[i].v.Store(uint64(i)) // an exchange: the line is ours
			}
			turn.Add(1)
		}
	}()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var v, any []float64
	var sum uint64
	limit := sys.Nanotime() + int64(m.windows)*5_000_000
	for len(v) < m.windows && m.ctx.Err() == nil && sys.Nanotime() < limit {
		asked := sys.Nanotime()
		turn.Add(1)
		for turn.Load()&1 == 1 {
			sys.Pause(1)
		}
		t := sys.Nanotime()
		for i := range room {
			sum += room[i].v.Load()
		}
		per := float64(sys.Nanotime()-t) / n
		any = append(any, per)
		if t-asked < 200_000 { // without a thread switch between: two processors
			v = append(v, per)
		}
	}
	stop.Store(true)
	<-done
	if len(v) == 0 {
		v = any
	}
	m.p.Line = quantile(v, 0.25)
	return nil
}

// gracePeriods fits Synchronize over GOMAXPROCS. The readers' mark stands at the
// highest, so that steps 2 and 4 scan as many Ps as step 5.
func (m *meter) gracePeriods() []GPPoint {
	const most = 512
	percpu.RaiseReaders(most)
	var pts []GPPoint
	for n := 1; n <= most; n *= 2 {
		back := procs(n)
		pts = append(pts, GPPoint{Ps: n, Here: m.alone(10, repeat(rcu.Synchronize))})
		back()
	}
	// Steps 2 and 4 read both words of each line at the mark, step 5 two more up
	// to GOMAXPROCS. Their ratio is taken from the same loops over the same
	// lines, since only step 5's length can be changed back.
	var s uint64
	per := m.alone(1, func(int) {
		for id := range most {
			c := percpu.Of(id)
			s += atomic.LoadUint64(&c.Unlock[0]) + atomic.LoadUint64(&c.Unlock[1])
		}
		for id := range most {
			c := percpu.Of(id)
			s += atomic.LoadUint64(&c.Lock[0]) + atomic.LoadUint64(&c.Lock[1])
		}
	}) / most
	first, last := pts[0].Here, pts[len(pts)-1].Here
	step5 := max((last-first)/(most-1), 0)
	m.p.ScanP = per + step5
	m.p.GPFixed = max(first-per*most-step5-m.p.MembarrierAlone, 0)
	for i := range pts {
		pts[i].Model = m.p.GPFixed + m.p.MembarrierAlone + per*most + step5*float64(pts[i].Ps)
	}
	return pts
}

func (m *meter) drain() error {
	type slot struct {
		busy, rcu uint32
		_         [percpu.Line - 8]byte
	}
	const n = 512
	slots := make([]slot, n)
	m.p.DrainSlot = m.alone(1, func(int) {
		for i := range slots {
			atomic.SwapUint32(&slots[i].rcu, 0)
		}
		for i := range slots {
			for atomic.LoadUint32(&slots[i].busy) != 0 {
				sys.Pause(10)
			}
		}
	}) / n
	return nil
}

// stack measures pop and push of the same sheaf, then the same by two.
func (m *meter) stack() error {
	s := &stack{}
	for n := uint32(1); n < stackNodes; n++ {
		s.push(n)
	}
	failed, done := 0, 0
	move := func() {
		n, f := s.pop()
		failed += f + s.push(n)
		done += 2
	}
	m.p.StackOp = m.alone(200, repeat(move)) / 2
	defer procs(2)()
	failed, done = 0, 0
	ns, rate, err := besideOf(m.ctx, func() {
		for range 10 {
			n, _ := s.pop()
			s.push(n)
		}
	}, m.windows, 100, repeat(move))
	if err != nil {
		return err
	}
	// Successes of both: 2 in ns, 20 × rate.
	m.p.StackTwo = max(1/(2/ns+20*rate), m.p.StackOp)
	m.p.StackRetries = float64(failed) / float64(max(done, 1))
	return nil
}

func (m *meter) spin() error {
	var l lock.Spin
	l.Init("scaling.spin")
	m.p.SpinAlone = m.alone(200, func(n int) {
		for range n {
			l.LockIRQ()
			l.UnlockIRQ()
		}
	})
	defer procs(2)()
	// Sections of the length of a refill, so that the other side does wait.
	const hold = 40 // PAUSEs
	bare := m.alone(20, func(n int) {
		for range n {
			sys.Pause(hold)
		}
	})
	section := func() {
		l.LockIRQ()
		sys.Pause(hold)
		l.UnlockIRQ()
	}
	ns, rate, err := besideOf(m.ctx, section, m.windows, 10, repeat(section))
	if err != nil {
		return err
	}
	m.p.SpinHandoff = max(1/(1/ns+rate)-bare, m.p.SpinAlone)
	return nil
}

// newCache makes a cache of its own pages.
func newCache(depot int64) (*slab.Cache[obj], func() error, error) {
	a, err := page.New(page.Config{})
	if err != nil {
		return nil, nil, err
	}
	c, err := slab.NewCache[obj]("scaling", slab.WithAllocator(a), slab.WithDepot(depot))
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return c, func() error {
		if err := c.Close(); err != nil {
			return err
		}
		return a.Close()
	}, nil
}

const roomy = 64 << 20 // a depot that never is full

// fill leaves n sheaves of objects in the depot.
func fill(c *slab.Cache[obj], objects int) error {
	ps := make([]*obj, objects)
	if n := c.AllocBulk(gfp.Kernel, ps); n < len(ps) {
		c.FreeBulk(ps[:n])
		return fmt.Errorf("predict: no memory for %d objects", objects)
	}
	c.FreeBulk(ps)
	return nil
}

func (m *meter) fast() error {
	defer procs(1)()
	c, end, err := newCache(roomy)
	if err != nil {
		return err
	}
	capacity := c.Stats().SheafCap
	m.p.SheafCap = float64(capacity)
	if err := fill(c, 40*capacity); err != nil {
		return err
	}
	// A window is a small part of a sheaf: most windows have no slow path.
	ps := make([]*obj, capacity/10)
	cycle := func(int) {
		for j := range ps {
			ps[j] = c.Alloc(gfp.Kernel)
		}
		for _, p := range ps {
			c.FreeRCU(p)
		}
	}
	m.p.Pair = m.alone(1, cycle) / float64(len(ps))
	c.Barrier()
	// Ten sheaves at once, all of them found in the depot: what they take beyond
	// as many fast parts.
	parts := 10 * capacity / len(ps)
	var v []float64
	for range m.windows {
		var all []float64
		sum := 0.0
		for range parts {
			t := sys.Nanotime()
			cycle(0)
			d := float64(sys.Nanotime() - t)
			all, sum = append(all, d), sum+d
		}
		v = append(v, (sum-float64(parts)*quantile(all, 0.5))/10)
		c.Barrier()
	}
	m.p.SheafSlow = max(quantile(v, 0.25), 0)
	return end()
}

// slabs measures what leaves sheaves and comes back into them, by filling the
// depot and giving everything back.
func (m *meter) slabs() error {
	defer procs(1)()
	c, end, err := newCache(roomy)
	if err != nil {
		return err
	}
	n := 40 * int(m.p.SheafCap)
	ps := make([]*obj, n)
	var refill, flush, free, alloc []float64
	per := func(t int64) float64 { return float64(sys.Nanotime()-t) / float64(n) }
	for range max(m.windows/4, 4) {
		t := sys.Nanotime()
		for j := range ps {
			ps[j] = c.Alloc(gfp.Kernel)
		}
		refill = append(refill, per(t))
		t = sys.Nanotime()
		c.FreeBulk(ps)
		free = append(free, per(t))
		t = sys.Nanotime()
		for j := range ps {
			ps[j] = c.Alloc(gfp.Kernel)
		}
		alloc = append(alloc, per(t))
		c.FreeBulk(ps)
		t = sys.Nanotime()
		c.Shrink()
		flush = append(flush, per(t))
	}
	m.p.AllocOnly = quantile(alloc, 0.25)
	m.p.FreeBulk = quantile(free, 0.25)
	m.p.RefillObj = max(quantile(refill, 0.25)-m.p.AllocOnly, 0)
	m.p.FlushObj = quantile(flush, 0.25)
	return end()
}

// handover takes the worker's time per sheaf from the difference between a
// Barrier behind twenty sheaves and one behind two.
func (m *meter) handover() error {
	defer procs(1)()
	c, end, err := newCache(roomy)
	if err != nil {
		return err
	}
	capacity := int(m.p.SheafCap)
	if err := fill(c, 60*capacity); err != nil {
		return err
	}
	barrier := func(sheaves int) float64 {
		ps := make([]*obj, sheaves*capacity)
		var v []float64
		for range m.windows {
			c.AllocBulk(gfp.Kernel, ps)
			for _, p := range ps {
				c.FreeRCU(p)
			}
			t := sys.Nanotime()
			c.Barrier()
			v = append(v, float64(sys.Nanotime()-t))
		}
		return quantile(v, 0.5)
	}
	few, many := barrier(2), barrier(20)
	m.p.Handover = max((many-few)/18, 2*m.p.StackOp)
	var v []float64
	for range max(m.windows/20, 5) {
		t := sys.Nanotime()
		sys.Sleep(200_000)
		v = append(v, float64(sys.Nanotime()-t))
	}
	m.p.Pace = quantile(v, 0.5)
	return end()
}

func (m *meter) pages() error {
	a, err := page.New(page.Config{})
	if err != nil {
		return err
	}
	blocks := make([]unsafe.Pointer, 64) // well beyond the list's 8
	m.p.PageBlock = m.alone(1, func(int) {
		for i := range blocks {
			blocks[i] = a.Alloc(3, gfp.Kernel)
		}
		for _, b := range blocks {
			if b != nil {
				a.Free(b, 3)
			}
		}
	}) / float64(len(blocks))
	return a.Close()
}
