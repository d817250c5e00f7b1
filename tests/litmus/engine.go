package litmus

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/internal/sys"
	"quiesce/rcu"
)

const (
	maxLog = 13     // the largest batch is 1<<maxLog instances
	line   = 64 / 8 // words in a cache line
	arena  = line << maxLog
)

// Config says how a shape is run.
type Config struct {
	Flavour   Flavour
	Updater   Updater
	Instances uint64        // stop after so many
	Time      time.Duration // or after so long
	Seed      uint64
	// MaxLog bounds a batch to 1<<MaxLog instances; 0 means maxLog.
	MaxLog int
	// Until stops the run once the outcome was seen, too.
	Until bool
	// Bind ties the calling thread to the id-th processor, so that two
	// processes never share one. nil: the system places them.
	Bind func(id int)
}

// engine runs one shape.
type engine struct {
	*program
	cfg     Config
	vars    [][]uint64 // by variable: the instances' words
	regs    [][]uint8  // by register
	workers []*worker
	enough  func(batch) bool // says when to end; process 0 asks after each run
	barrier barrier
	stop    atomic.Bool
	seen    atomic.Bool
	clog    [2 * line]uint64 // every process writes here, to keep store buffers busy
}

// batch is what is drawn for one run over a batch; every process draws the
// same.
type batch struct {
	n      int
	stride int
	order  uint64 // how the processes' orders are related
	rng    uint64
}

// worker is one process at work.
type worker struct {
	*engine
	*proc
	id       int
	sec      section
	rng      uint64
	mul, off int // its order: position j is instance (mul*j+off) mod n
	b        batch
	hist     []uint64
	sections uint64
	from, to int64       // when this run's pass began and ended
	early    readers     // of a mutant
	done     atomic.Bool // the callback of an updater has returned
}

// Run runs a shape, which panics if it is malformed.
func Run(s Shape, cfg Config) *Result {
	p := parse(s)
	if cfg.MaxLog == 0 {
		cfg.MaxLog = maxLog
	}
	e := &engine{program: p, cfg: cfg}
	e.barrier.n = int32(len(p.procs))
	e.barrier.crowded = len(p.procs) > runtime.NumCPU()
	for i := range p.vars {
		e.vars = append(e.vars, make([]uint64, arena))
		for j := range e.vars[i] {
			e.vars[i][j] = p.init[i]
		}
	}
	for range p.pointer {
		e.regs = append(e.regs, make([]uint8, 1<<maxLog))
	}
	// Ps for the library's workers too, so that none waits for a process.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(len(p.procs) + 2))

	res := &Result{shape: p, Hist: make([]uint64, 1<<len(p.pointer)), Seed: cfg.Seed}
	begin, gps := time.Now(), rcu.ReadStats().GracePeriods
	var wg sync.WaitGroup
	e.workers = make([]*worker, len(p.procs))
	for id := range p.procs {
		w := &worker{engine: e, proc: &p.procs[id], id: id, hist: make([]uint64, len(res.Hist))}
		w.sec.flavour = cfg.Flavour
		e.workers[id] = w
	}
	e.enough = func(b batch) bool {
		res.Instances += uint64(b.n)
		res.Runs++
		if e.overlapped() {
			res.Overlaps++
		}
		return res.Instances >= cfg.Instances || time.Since(begin) >= cfg.Time || cfg.Until && e.seen.Load()
	}
	for _, w := range e.workers {
		wg.Go(func() {
			if cfg.Bind != nil && !e.barrier.crowded {
				// Never unlocked: the thread ends with the goroutine.
				runtime.LockOSThread()
				cfg.Bind(w.id)
			}
			if cfg.Flavour == Reader {
				w.sec.reader = rcu.NewReader()
				defer w.sec.reader.Close()
			}
			w.loop()
		})
	}
	wg.Wait()
	for _, w := range e.workers {
		for o, n := range w.hist {
			res.Hist[o] += n
		}
		res.Sections += w.sections
	}
	res.Seconds = time.Since(begin).Seconds()
	res.GracePeriods = rcu.ReadStats().GracePeriods - gps
	return res
}

// overlapped reports whether there was a moment in the last run at which every
// process was at work.
func (e *engine) overlapped() bool {
	from, to := e.workers[0].from, e.workers[0].to
	for _, w := range e.workers {
		from, to = max(from, w.from), min(to, w.to)
	}
	return from < to
}

// loop runs batch after batch.
func (w *worker) loop() {
	for run := uint64(0); ; run++ {
		w.draw(run)
		w.barrier.wait()
		if w.stop.Load() {
			return
		}
		if before := w.cfg.Updater.before; before != nil {
			if w.grace {
				before(w)
			}
			// It may take longer than a whole pass: the others wait, or they
			// would be done before this process begins.
			w.barrier.wait()
		}
		w.from = sys.Nanotime()
		w.pass()
		w.to = sys.Nanotime()
		w.barrier.wait()
		// The others read stop, and change from and to, only after the next
		// barrier.
		if w.id == 0 && w.enough(w.b) {
			w.stop.Store(true)
		}
		w.collect(run)
	}
}

// draw chooses this run's batch, and this process's order and delay.
func (w *worker) draw(run uint64) {
	b := batch{rng: mix(w.cfg.Seed ^ run*0x9e3779b97f4a7c15)}
	b.n = 1 << (next(&b.rng) % uint64(w.cfg.MaxLog+1))
	b.stride = 1
	if next(&b.rng)&1 == 0 {
		b.stride = line
	}
	b.order = next(&b.rng) % 4
	w.b = b
	w.rng = mix(b.rng + uint64(w.id)*0xbf58476d1ce4e5b9)
	w.mul, w.off = 1, 0
	switch b.order {
	case 0: // all in the same order
	case 1, 2: // every other process backwards: they meet once, for sure
		if w.id&1 == 1 {
			w.mul, w.off = b.n-1, b.n-1
		}
	case 3: // each in its own
		w.mul = int(next(&w.rng))&(b.n-1) | 1
		w.off = int(next(&w.rng)) & (b.n - 1)
	}
}

// pass executes the process on every instance of the batch.
func (w *worker) pass() {
	w.spin(next(&w.rng) & (1<<(next(&w.rng)%15) - 1)) // up to some 10 µs
	n := w.b.n
	switch {
	case w.grace:
		w.half(0, 0, n)
		w.clogUp()
		w.cfg.Updater.wait(w, func() { w.half(1, 0, n) })
	case w.reader:
		for from := 0; from < n; {
			// Sections of one instance and sections of all of them.
			k := 1 << (next(&w.rng) % (maxLog + 1))
			to := min(from+k, n)
			alone := next(&w.rng)&1 == 0
			dawdle := uint64(0)
			if next(&w.rng)&3 == 0 {
				dawdle = next(&w.rng) & (1<<(next(&w.rng)%14) - 1)
			}
			w.clogUp()
			w.sec.enter()
			if alone {
				w.spin(dawdle)
				w.each(from, to)
			} else {
				w.half(0, from, to)
				w.linger(dawdle)
				w.half(1, from, to)
			}
			w.sec.leave()
			w.sections++
			from = to
		}
	default:
		w.clogUp()
		w.each(0, n)
	}
}

// each executes both accesses, instance after instance.
func (w *worker) each(from, to int) {
	for j := from; j < to; j++ {
		w.half(0, j, j+1)
		w.half(1, j, j+1)
	}
}

// half executes one of the accesses on the instances at positions from..to.
func (w *worker) half(which, from, to int) {
	a := &w.access[which]
	mask, stride := w.b.n-1, w.b.stride
	switch a.kind {
	case read:
		v, reg := w.vars[a.v], w.regs[a.reg]
		for j := from; j < to; j++ {
			i := (w.mul*j + w.off) & mask
			reg[i] = uint8(load(&v[i*stride]))
		}
	case write:
		v := w.vars[a.v]
		for j := from; j < to; j++ {
			i := (w.mul*j + w.off) & mask
			store(&v[i*stride], a.val)
		}
	case publish:
		v := w.vars[a.v]
		for j := from; j < to; j++ {
			i := (w.mul*j + w.off) & mask
			atomic.StoreUint64(&v[i*stride], a.val)
		}
	case deref:
		from0, reg := w.regs[w.access[0].reg], w.regs[a.reg]
		for j := from; j < to; j++ {
			i := (w.mul*j + w.off) & mask
			reg[i] = uint8(load(&w.vars[from0[i]&1][i*stride]))
		}
	}
}

// collect counts the outcomes of this process's share of the batch, and
// prepares its instances for the next run.
func (w *worker) collect(run uint64) {
	procs := len(w.procs)
	share := (w.id + int(run%uint64(procs))) % procs
	lo, hi := w.b.n*share/procs, w.b.n*(share+1)/procs
	for i := lo; i < hi; i++ {
		o := 0
		for r, reg := range w.regs {
			o |= int(reg[i]&1) << r
		}
		w.hist[o]++
		if o == w.want && w.cfg.Until {
			w.seen.Store(true)
		}
	}
	for v, words := range w.vars {
		for i := lo; i < hi; i++ {
			store(&words[i*w.b.stride], w.init[v])
		}
	}
}

// clogUp stores to a line that the others store to as well, now and then, so
// that what is stored next stays in the store buffer for longer.
func (w *worker) clogUp() {
	for range next(&w.rng) & 3 {
		store(&w.clog[line], uint64(w.id))
	}
}

// spin passes the time, some ns for each n.
func (w *worker) spin(n uint64) {
	for range n {
		load(&w.clog[0])
	}
}

// linger passes the time in a section. Where the processes are more than the
// processors, the thread gives its processor away once in a while, which a
// pinned section may.
func (w *worker) linger(n uint64) {
	w.spin(n)
	if w.barrier.crowded && n > 0 {
		for range n & 7 {
			sys.Yield()
		}
	}
}

// barrier is where the processes meet, spinning.
type barrier struct {
	n       int32
	crowded bool
	count   atomic.Int32
	phase   atomic.Uint32
}

func (b *barrier) wait() {
	phase := b.phase.Load()
	if b.count.Add(1) == b.n {
		b.count.Store(0)
		b.phase.Store(phase + 1)
		return
	}
	for i := 1; b.phase.Load() == phase; i++ {
		switch {
		case b.crowded && i%8 == 0 || i%4096 == 0:
			sys.Yield()
			if i%1024 == 0 {
				runtime.Gosched() // the collector may want the world
			}
		default:
			sys.Pause(1)
		}
	}
}

// next is splitmix64.
func next(s *uint64) uint64 {
	*s += 0x9e3779b97f4a7c15
	return mix(*s)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// The shared accesses: one plain machine instruction each. Go's atomic store
// is an XCHG on amd64, which would empty the store buffer. Functions of their
// own, so that the compiler neither keeps, drops nor moves a value.
//
//go:noinline
//go:nosplit
//go:norace
func load(p *uint64) uint64 { return *p }

//go:noinline
//go:nosplit
//go:norace
func store(p *uint64, v uint64) { *p = v }
