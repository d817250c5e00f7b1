package predict

import (
	"context"
	"math/rand/v2"

	"quiesce/internal/sys"
)

// Design is what the simulation can vary of the allocator's design. The zero
// value of a field means what the code does.
type Design struct {
	Name    string  `json:"name"`
	Depot   int     `json:"depot_sheaves"` // bound of the depot; 0: 4 MiB of objects and what misses add
	Groups  int     `json:"groups"`        // of stacks; 0: one for each 16 Ps
	Locks   int     `json:"slab_locks"`    // 0: one
	Outside float64 `json:"outside"`       // share of the slab lock's work that is done without it
	NoHelp  bool    `json:"no_help"`       // FreeRCU hands nothing over: the service does all
	WakeNow bool    `json:"wake_now"`      // the service gets a processor as soon as it wants one
	WorkNs  float64 `json:"work_ns"`       // the program's own time per object
	Recheck bool    `json:"recheck"`       // a P that waited for the slab lock to refill checks the depot first
}

func (d *Design) groups(ps int) int {
	if d.Groups > 0 {
		return min(d.Groups, ps)
	}
	return (ps + groupPs - 1) / groupPs
}

// Load is one simulation.
type Load struct {
	Ps     int
	Nanos  float64 // measured time
	Warm   float64 // time before it, in which new slabs take none: a program has made them long ago
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
	resCounts  = "counts of a group"
	resCookie  = "cookie"
	resLock    = "slab lock"
	resRefill  = "refill from slabs"
	resZone    = "page zone"
	resWorker  = "service"
	resHelp    = "hand-over by FreeRCU"
	resProc    = "processor taken"
	resIPI     = "membarrier IPIs"
)

var resources = []string{resFull, resEmpty, resPending, resCounts, resCookie, resLock, resRefill, resZone, resWorker, resHelp, resProc, resIPI}

// Kinds of events.
type kind uint8

const (
	evFull       kind = iota // compute is over: pop a full sheaf
	evRefill                 // depot empty: an empty sheaf is at hand, lock the slabs
	evTaken                  // refill is over: unlock
	evPutEmpty               // push the old main sheaf
	evGetEmpty               // pop the next reserve
	evCounted                // counts of the group
	evCookie                 // the cookie
	evPending                // push the closed sheaf
	evCycle                  // the closed sheaf is pending
	evStolen                 // a full sheaf of another group is popped
	evHelp                   // much is pending: hand over what is ripe
	evHelped                 // the helper has yielded
	evUncount                // a sheaf is handed over: count it
	evPutFull                // and push it
	evHandedOver             // it is in the depot
	evNext                   // the cycle is over
	evGrace                  // a grace period is over that helpers asked for
	evWoken                  // a waiter of the lock is runnable
	evGrab                   // and has a processor
	evAwake                  // the service's sleep is over
	evPass                   // its grace period is over, or a sheaf is done
	evFlushed                // kfree_bulk is over: unlock
	evDrain                  // a drain is due
	evDrained
)

type event struct {
	at   float64
	seq  uint64
	t    *task
	kind kind
}

// task is a churner, the service, its drains, or the driver of grace periods.
type task struct {
	id     int
	worker bool
	group  int
	lock   int
	onP    bool
	since  float64 // of its quantum
	next   kind    // what to do once it has a processor
	after  float64 // and how long that takes
	asked  float64 // when it began to wait for a processor
	want   kind    // the end of the section that it waits for
	lockAt float64 // since when
	slept  bool    // service: its pace is over
	batch  int     // sheaves that the service has left
	of     int     // the group of the sheaf in hand
	taken  int     // sheaves that a helper has had
	stolen float64 // IPIs that it has paid for
	active bool    // sleeps or works
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
	held  bool
	woken bool  // a waiter is on its way
	heir  *task // the lock is this waiter's, which is on its way
	queue []*task
	since float64
	busy  float64

	slabFree, made int // sheaves' worth of objects
}

// group is the stacks of some Ps, with the sheaves on them.
type group struct {
	shared                          [4]line // full, empty, pending, counts
	depot, pending, collected, ripe int
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
	locks   []mutex
	groups  []group
	cookie  line // everybody's
	zone    line
	service *task
	churn   []*task
	drainer *task
	driver  *task // of the grace periods that helpers ask for
	atPs    int   // sheaves, as is the next one
	inHand  int   // the service's, and helpers'

	bound, more, moreMost, misses int     // of the depots, in sheaves
	overflow                      float64 // when a sheaf last found no room
	graceOver                     bool    // of what is collected
	vain                          int     // what was pending when a helper yielded in vain; 0: the last one did not
	far                           float64
	sheaf                         float64
	flush                         float64
	refill                        float64
	fixed                         float64 // of a cycle: compute
	ipis                          float64 // membarriers so far
	check                         func(*sim)

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
	s.groups = make([]group, l.Design.groups(l.Ps))
	s.locks = make([]mutex, max(l.Design.Locks, 1))
	if s.bound = l.Design.Depot; s.bound == 0 {
		sheaf := p.SheafCap * objectSize
		s.bound = max(int(depotSize/sheaf), 1)
		s.moreMost = max(int(depotShare*float64(l.Ps)/sheaf)-s.bound, 0)
	}
	s.far = 1
	if l.Ps > 16 {
		s.far = spread(p.assumed("line_far"), 1).of(l.Assume)
	}
	s.flush, s.refill = p.FlushObj, p.RefillObj
	// What the slow paths cost in addition to their operations on shared words.
	rest := max(p.SheafSlow-6*p.StackOp, 0)
	s.fixed = s.sheaf*(p.Pair+l.Design.WorkNs) + rest
	if l.Ps > 1 {
		// The sheaf's array was written by another P: half of its lines are
		// read remotely, the others prefetched in pairs.
		s.fixed += s.sheaf * 4 / 128 * p.Line * s.far
	}
	for i := range l.Ps {
		t := &task{id: i, group: i * len(s.groups) / l.Ps}
		t.lock = t.group % len(s.locks)
		s.churn = append(s.churn, t)
		s.atPs++
		s.locks[t.lock].made++
	}
	s.service = &task{id: l.Ps, worker: true}
	s.drainer = &task{id: l.Ps + 1, worker: true}
	s.driver = &task{id: l.Ps + 2, worker: true}
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
	g, m := &s.groups[t.group], &s.locks[t.lock]
	switch k {
	case evFull:
		s.op(t, t.group, resFull, evPutEmpty)
	case evPutEmpty: // the pop is done: was there one?
		if g.depot > 0 {
			g.depot--
			s.atPs++
			s.op(t, t.group, resEmpty, evGetEmpty)
		} else if of := s.neighbour(t.group); of >= 0 {
			s.groups[of].depot--
			s.atPs++
			s.op(t, of, resFull, evStolen)
		} else {
			s.missed()
			s.runs(t, evRefill, s.p.StackOp)
		}
	case evStolen:
		s.op(t, t.group, resEmpty, evGetEmpty)
	case evRefill:
		s.lock(t, evTaken)
	case evTaken:
		s.unlock(m)
		s.op(t, t.group, resEmpty, evGetEmpty)
	case evGetEmpty:
		s.op(t, t.group, resEmpty, evCookie)
	case evCookie:
		if sys.HasFence { // on a word of its own
			s.runs(t, evCounted, s.p.StackOp)
		} else {
			s.op(t, t.group, resCookie, evCounted)
		}
	case evCounted:
		s.op(t, t.group, resCounts, evPending)
	case evPending:
		s.op(t, t.group, resPending, evCycle)
	case evCycle:
		s.atPs--
		g.pending++
		s.cycle(t)
	case evHelp:
		s.help(t, true)
	case evHelped:
		s.help(t, false)
	case evUncount:
		s.op(t, t.of, resCounts, evPutFull)
	case evPutFull:
		s.op(t, t.of, resFull, evHandedOver)
	case evHandedOver:
		s.handedOver(t)
	case evNext:
		s.next(t)
	case evGrace:
		s.graceOver = true
		s.driver.active = false
		s.release(t)
	case evWoken:
		s.ready(t, evGrab, 0)
	case evGrab:
		s.grab(m, t)
	case evAwake:
		t.slept = true
		s.ready(t, evPass, 0)
	case evPass:
		s.pass(t)
	case evFlushed:
		s.unlock(m)
		m.slabFree++
		s.inHand--
		s.bulk++
		s.op(t, t.of, resEmpty, evPass)
	case evDrain:
		s.ready(t, evDrained, s.drainCost())
		s.ipis += 2
	case evDrained:
		s.release(t)
		s.at(s.now+drainEvery, t, evDrain)
	}
}

// cycle is the end of a P's cycle: much may be pending.
func (s *sim) cycle(t *task) {
	s.cycles++
	if w := s.service; !w.active && s.waitingSheaves()*s.sheaf*objectSize >= gatherBytes {
		w.active = true
		s.at(s.now+s.p.Pace, w, evAwake)
	}
	if !s.l.Design.NoHelp && s.waitingSheaves()*s.sheaf*objectSize >= helpOwn {
		s.runs(t, evHelp, 0)
		return
	}
	s.next(t)
}

// next begins a P's next cycle.
func (s *sim) next(t *task) {
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

func (s *sim) gracePeriod() float64 { return s.p.GracePeriod(s.l.Ps).of(s.l.Assume) }

func (s *sim) drainCost() float64 { return s.p.Drain(s.l.Ps).of(s.l.Assume) }

// op is one operation on a shared word of a group, done with the processor held.
func (s *sim) op(t *task, group int, what string, next kind) {
	l := &s.cookie
	if i, of := map[string]int{resFull: 0, resEmpty: 1, resPending: 2, resCounts: 3}[what]; of {
		l = &s.groups[group].shared[i]
	}
	stacks := what != resCookie && what != resCounts
	alone := s.p.StackOp
	if t == s.service && what == resFull {
		alone = s.p.Handover
	}
	wait := max(l.free-s.now, 0)
	d := alone
	if l.last != t && l.last != nil {
		rivals := 0.0
		if stacks && l.mean > 0 { // an addition does not fail
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
