package predict

import (
	"cmp"
	"context"
	"reflect"
	"runtime"
	"sync/atomic"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/rcu"
)

// Calibration is a set of parameters and the run that gave them.
type Calibration struct {
	Machine string    `json:"machine"`
	Params  Params    `json:"params"`
	GP      []GPPoint `json:"grace_period_over_gomaxprocs"` // scan check
}

// GPPoint is Synchronize at one GOMAXPROCS, nothing else running.
type GPPoint struct {
	Ps    int     `json:"ps"`
	Model float64 `json:"model_ns"`
	Here  float64 `json:"measured_ns"`
}

type obj [objectSize / 8]uint64

// rounds is how many times everything is measured. A figure is the median of them: what
// disturbs the machine for a second disturbs one.
const rounds = 5

// Calibrate measures. Effort 1 is the normal one, less is quicker and rougher.
// tell is called with the name of each step, and how many there are. between is called
// before each round, unless it is nil.
func Calibrate(ctx context.Context, effort float64, tell func(step string, of int), between func() error) (*Calibration, error) {
	c := &Calibration{Machine: machine()}
	var all []Params
	for range rounds {
		if between != nil {
			if err := between(); err != nil {
				return nil, err
			}
		}
		p := Params{}
		m := &meter{ctx: ctx, windows: max(int(400*effort), 8), p: &p}
		steps := m.steps()
		for _, s := range steps {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			tell(s.name, rounds*len(steps)+1)
			if err := s.fn(); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	c.Params = medians(all)
	m := &meter{ctx: ctx, windows: max(int(400*effort), 8), p: &c.Params}
	tell("grace periods over GOMAXPROCS", rounds*len(m.steps())+1)
	c.GP = m.gracePeriods()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c, c.Params.Check()
}

type step struct {
	name string
	fn   func() error
}

// steps are those of a round.
func (m *meter) steps() []step {
	return []step{
		{"membarrier", m.membarrier},
		{"grace period", m.gracePeriod},
		{"lines between processors", m.lines},
		{"drain scan", m.drain},
		{"stack of sheaves", m.stack},
		{"lock.Spin", m.spin},
		{"fast paths", m.fast},
		{"slabs and sheaves", m.slabs},
		{"hand-over", m.handover},
		{"pages", m.pages},
		{"new pages", m.newPages},
		{"slices of a processor", m.slice},
	}
}

// medians returns the median of each figure. T's fields are figures, or arrays of them.
func medians[T any](all []T) (m T) {
	var median func(to reflect.Value, of func(i int) reflect.Value)
	median = func(to reflect.Value, of func(i int) reflect.Value) {
		switch to.Kind() {
		case reflect.Struct:
			for f := range to.NumField() {
				median(to.Field(f), func(i int) reflect.Value { return of(i).Field(f) })
			}
		case reflect.Array:
			for k := range to.Len() {
				median(to.Index(k), func(i int) reflect.Value { return of(i).Index(k) })
			}
		default:
			v := make([]float64, len(all))
			for i := range v {
				v[i] = of(i).Float()
			}
			to.SetFloat(kit.Quantile(v, 0.5))
		}
	}
	median(reflect.ValueOf(&m).Elem(), func(i int) reflect.Value { return reflect.ValueOf(all[i]) })
	return m
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

// membarrier measures one alone, one next to a peer, and what the peer loses by
// it.
func (m *meter) membarrier() error {
	sys.HasMembarrier() // until it is known, barriers stop the world
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
	m.p.Line = kit.Quantile(v, 0.25)
	return nil
}

// gracePeriod measures what one costs apart from its membarrier and from the scan of more
// Ps than ran readers here.
func (m *meter) gracePeriod() error {
	defer procs(1)()
	m.p.GPFixed = max(m.alone(10, repeat(rcu.Synchronize))-m.p.MembarrierAlone, 0)
	return nil
}

// gracePeriods measures the scan, and compares Synchronize over GOMAXPROCS with what the
// model makes of it. The readers' mark is at the highest, so that steps 2 and 4 scan as
// many Ps as step 5 does at most.
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
	step5 := max((pts[len(pts)-1].Here-pts[0].Here)/(most-1), 0)
	m.p.ScanP = per + step5
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
	l.Init("predict.spin")
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
