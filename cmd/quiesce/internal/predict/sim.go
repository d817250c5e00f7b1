package predict

import (
	"context"
	"math/rand/v2"
)

// Design is what the simulation can vary of the allocator's design. The zero
// value of a field means what the code does.
type Design struct {
	Name      string  `json:"name"`
	Depot     int     `json:"depot_sheaves"` // bound of the depot; 0: 4 MiB of objects
	DepotPerP int     `json:"depot_per_p"`   // added to it for each P
	Workers   int     `json:"workers"`       // reclaim goroutines; 0: one
	Shards    int     `json:"shards"`        // of stacks, slab lock and shared words; 0: one
	WakeNow   bool    `json:"wake_now"`      // the worker gets a processor when its pace is over
	WorkNs    float64 `json:"work_ns"`       // the program's own time per object
	Soft      bool    `json:"soft_bound"`    // the worker fills the depot beyond its bound rather than wait for the slab lock
	Recheck   bool    `json:"recheck"`       // a P that waited for the slab lock to refill checks the depot first
}

// Load is one simulation.
type Load struct {
	Ps     int
	Nanos  float64 // measured time
	Warm   float64 // time before it
	Seed   uint64
	Design Design
	Assume Pick // what to take of the assumptions' ranges
}

// Result is what a simulation saw, per measured nanosecond where it is a rate.
type Result struct {
	Objects    float64            `json:"objects"` // cycles × objects of a sheaf
	PerP       float64            `json:"objects_per_s_per_p"`
	Total      float64            `json:"objects_per_s"`
	CPUPerObj  float64            `json:"cpu_ns_per_object"`  // workers included
	Reused     float64            `json:"reused_share"`       // of what the worker disposed of
	Lost       map[string]float64 `json:"lost_share"`         // of the Ps' time, by resource
	Busy       map[string]float64 `json:"utilisation"`        // of the resource
	InFlight   float64            `json:"in_flight_bytes"`    // mean: freed, not reclaimed
	Held       float64            `json:"held_bytes"`         // slabs and sheaves at the end
	Growth     float64            `json:"growth_bytes_per_s"` // of pending over the second half
	GracePer   float64            `json:"grace_periods_per_s"`
	WorkerWait float64            `json:"worker_wait_ns"` // for a processor, mean
}

// Resources, in the order of the report.
const (
	resFull    = "full stack"
	resEmpty   = "empty stack"
	resPending = "pending stack"
	resShared  = "cookie and counters"
	resLock    = "slab lock"
	resRefill  = "refill from slabs"
	resZone    = "page zone"
	resWorker  = "reclaim worker"
	resProc    = "processor taken"
	resIPI     = "membarrier IPIs"
)

var resources = []string{resFull, resEmpty, resPending, resShared, resLock, resRefill, resZone, resWorker, resProc, resIPI}

// Kinds of events.
type kind uint8

const (
	evFull     kind = iota // compute is over: pop a full sheaf
	evRefill               // depot empty: an empty sheaf is at hand, lock the slabs
	evTaken                // refill is over: unlock
	evPutEmpty             // push the old main sheaf
	evGetEmpty             // pop the next reserve
	evShared               // cookie and counters
	evPending              // push the closed sheaf
	evCycle                // the cycle is over
	evWoken                // a waiter of the lock is runnable
	evGrab                 // and has a processor
	evAwake                // the worker's sleep is over
	evPass                 // its grace period is over, or a sheaf is done
	evFlushed              // kfree_bulk is over: unlock
	evDrain                // the drain worker's sleep is over
	evDrained
)

type event struct {
	at   float64
	seq  uint64
	t    *task
	kind kind
}

// task is a churner, a reclaim worker or the drain worker.
type task struct {
	id     int
	worker bool
	shard  int
	onP    bool
	since  float64 // of its quantum
	next   kind    // what to do once it has a processor
	after  float64 // and how long that takes
	asked  float64 // when it began to wait for a processor
	want   kind    // the end of the section that it waits for
	lockAt float64 // since when
	slept  bool    // worker: its pace is over
	batch  int     // sheaves that the worker has left
	stolen float64 // IPIs that it has paid for
	active bool    // worker: sleeps or works
}

// line is a shared word or stack head: served in order of arrival.
type line struct {
	free float64
	last *task
	mean float64 // service time
	busy float64
}

// mutex is a lock.Spin: barging, and direct handover to a starving waiter.
type mutex struct {
	held   bool
	woken  bool  // a waiter is on its way
	heir   *task // the lock is this waiter's, which is on its way
	queue  []*task
	since  float64
	busy   float64
	shared [4]line // full, empty, pending, cookie and counters
	// Sheaves.
	depot, pending, slabFree, made, atWorker, atPs int
}

type sim struct {
	p       *Params
	l       Load
	rng     *rand.Rand
	now     float64
	seq     uint64
	heap    []event
	runq    []*task
	idle    int
	shards  []mutex
	zone    line
	workers []*task
	churn   []*task
	drainer *task
	cap     int // of a shard's depot
	far     float64
	sheaf   float64
	flush   float64
	refill  float64
	fixed   float64 // of a cycle: compute
	ipis    float64 // membarriers so far
	check   func(*sim)

	// While measuring:
	on                        bool
	cycles, reused, bulk, gps float64
	workerBusy, waits, waited float64
	lost                      map[string]float64
	area, procBusy            float64 // integrals up to lastAt
	lastAt, pend0             float64
}

// Simulate runs one load.
func Simulate(p *Params, l Load) Result { return simulateUntil(context.Background(), p, l) }

// simulateUntil returns nonsense once ctx is done.
func simulateUntil(ctx context.Context, p *Params, l Load) Result { return newSim(p, l).run(ctx) }

func newSim(p *Params, l Load) *sim {
	s := &sim{p: p, l: l, rng: rand.New(rand.NewPCG(l.Seed, 1)), idle: l.Ps, lost: map[string]float64{}, sheaf: p.SheafCap}
	n := max(l.Design.Shards, 1)
	s.shards = make([]mutex, n)
	depot := l.Design.Depot
	if depot == 0 {
		depot = int(depotSize / (p.SheafCap * objectSize))
	}
	s.cap = max((depot+l.Design.DepotPerP*l.Ps)/n, 1)
	s.far = 1
	if l.Ps > 16 {
		s.far = spread(p.assumed("line_far"), 1).of(l.Assume)
	}
	s.flush, s.refill = p.FlushObj, p.RefillObj
	// What the slow paths cost in addition to their operations on shared words.
	rest := max(p.SheafSlow-5*p.StackOp, 0)
	s.fixed = s.sheaf*(p.Pair+l.Design.WorkNs) + rest
	if l.Ps > 1 {
		// The sheaf's array was written by another P: half of its lines are
		// read remotely, the others prefetched in pairs.
		s.fixed += s.sheaf * 4 / 128 * p.Line * s.far
	}
	for i := range l.Ps {
		t := &task{id: i, shard: i % n}
		s.churn = append(s.churn, t)
		s.shards[t.shard].atPs++
		s.shards[t.shard].made++
	}
	for i := range max(l.Design.Workers, 1) {
		s.workers = append(s.workers, &task{id: l.Ps + i, worker: true, shard: i % n})
	}
	s.drainer = &task{id: l.Ps + len(s.workers), worker: true}
	return s
}

func (s *sim) run(ctx context.Context) Result {
	for _, t := range s.churn {
		// They don't begin in step.
		s.ready(t, evFull, s.rng.Float64()*s.fixed)
	}
	s.at(drainEvery, s.drainer, evDrain)
	end := s.l.Warm + s.l.Nanos
	for len(s.heap) > 0 {
		if s.seq%(1<<16) == 0 && ctx.Err() != nil {
			break
		}
		e := s.pop()
		if !s.on && e.at >= s.l.Warm {
			s.begin()
		}
		if e.at >= end {
			break
		}
		s.account(e.at)
		s.now = e.at
		s.step(e.t, e.kind)
		if s.check != nil {
			s.check(s)
		}
	}
	s.account(end)
	s.now = end
	return s.result()
}

// step does what an event says.
func (s *sim) step(t *task, k kind) {
	m := &s.shards[t.shard]
	switch k {
	case evFull:
		s.op(t, resFull, evPutEmpty)
	case evPutEmpty: // the pop is done: was there one?
		if m.depot == 0 {
			s.runs(t, evRefill, s.p.StackOp)
			return
		}
		m.depot--
		m.atPs++
		s.op(t, resEmpty, evGetEmpty)
	case evRefill:
		s.lock(t, evTaken)
	case evTaken:
		s.unlock(m)
		s.op(t, resEmpty, evGetEmpty)
	case evGetEmpty:
		s.op(t, resEmpty, evShared)
	case evShared:
		s.op(t, resShared, evPending)
	case evPending:
		s.op(t, resPending, evCycle)
	case evCycle:
		m.atPs--
		m.pending++
		s.cycle(t)
	case evWoken:
		s.ready(t, evGrab, 0)
	case evGrab:
		s.grab(m, t)
	case evAwake:
		t.slept = true
		s.ready(t, evPass, 0)
	case evPass:
		s.pass(t, m)
	case evFlushed:
		s.unlock(m)
		m.slabFree++
		m.atWorker--
		s.bulk++
		s.op(t, resEmpty, evPass)
	case evDrain:
		s.ready(t, evDrained, s.drainCost())
		s.ipis += 2
	case evDrained:
		s.release(t)
		s.at(s.now+drainEvery, t, evDrain)
	}
}

// cycle ends a P's cycle and begins the next one.
func (s *sim) cycle(t *task) {
	s.cycles++
	for _, w := range s.workers {
		if !w.active && w.shard == t.shard {
			w.active = true
			s.at(s.now+s.p.Pace, w, evAwake)
			break
		}
	}
	d := s.fixed
	if steal := (s.ipis - t.stolen) * s.p.IPISteal; steal > 0 {
		// All of it, but no more than the time there was.
		steal = min(steal, 50*s.fixed)
		t.stolen = s.ipis
		s.lose(resIPI, steal)
		d += steal
	}
	s.runs(t, evFull, d)
}

// pass is a worker's next step: a grace period, one sheaf, or the end.
func (s *sim) pass(t *task, m *mutex) {
	if t.batch == 0 {
		switch {
		case m.pending == 0:
			t.active, t.slept = false, false
			s.release(t)
		case t.slept:
			t.slept = false
			t.batch = m.pending
			m.atWorker += m.pending
			m.pending = 0
			s.gps++
			s.ipis++
			s.runs(t, evPass, s.gracePeriod())
		default:
			s.release(t)
			s.at(s.now+s.p.Pace, t, evAwake)
		}
		return
	}
	t.batch--
	if m.depot < s.cap || s.l.Design.Soft && m.held {
		m.depot++
		m.atWorker--
		s.reused++
		s.op(t, resFull, evPass)
		return
	}
	s.lock(t, evFlushed)
}

func (s *sim) gracePeriod() float64 { return s.p.GracePeriod(s.l.Ps).of(s.l.Assume) }

func (s *sim) drainCost() float64 { return s.p.Drain(s.l.Ps).of(s.l.Assume) }

// op is one operation on a shared word, done with the processor held.
func (s *sim) op(t *task, what string, next kind) {
	m := &s.shards[t.shard]
	i := map[string]int{resFull: 0, resEmpty: 1, resPending: 2, resShared: 3}[what]
	l := &m.shared[i]
	alone := s.p.StackOp
	if t.worker && what == resFull {
		alone = s.p.Handover
	}
	wait := max(l.free-s.now, 0)
	d := alone
	if l.last != t && l.last != nil {
		rivals := 0.0
		if l.mean > 0 {
			rivals = min(wait/l.mean, float64(s.l.Ps))
		}
		d = alone + s.p.contended(rivals)*s.far
	}
	if l.last != nil && l.last != t || l.mean == 0 {
		// The line is held for the operation alone, not for the worker's rest.
		l.mean = d - alone + s.p.StackOp
	}
	service := d - alone + s.p.StackOp
	l.last = t
	l.free = s.now + wait + service
	l.busy += service
	if !t.worker {
		s.lose(what, wait+d-alone)
	}
	s.runs(t, next, wait+d)
}

// contended is what an operation on a stack costs more when another P had it
// before and rivals wait: a line's way, and a failure's for each rival.
func (p *Params) contended(rivals float64) float64 {
	extra := max(p.StackTwo-p.StackOp, 0)
	return extra * (1 + min(p.StackRetries, 1)*rivals)
}
