package predict

import (
	"math"

	"quiesce/internal/sys"
)

// The closed forms.

// Range is a prediction with what the assumptions leave open.
type Range struct {
	Low  float64 `json:"low"`
	Mid  float64 `json:"mid"`
	High float64 `json:"high"`
}

// Pick is a place in a Range.
type Pick int

const (
	Mid Pick = iota
	Low
	High
)

func (r Range) of(p Pick) float64 { return [...]float64{r.Mid, r.Low, r.High}[p] }

func (r Range) plus(o Range) Range         { return Range{r.Low + o.Low, r.Mid + o.Mid, r.High + o.High} }
func (r Range) times(f float64) Range      { return Range{r.Low * f, r.Mid * f, r.High * f} }
func exactly(v float64) Range              { return Range{v, v, v} }
func spread(a Assumption, f float64) Range { return Range{a.Low * f, a.Mid * f, a.High * f} }

// Membarrier is its cost with n Ps running, the caller's among them. The kernel
// sends an interrupt to each processor that runs the process, and waits for
// the last.
func (p *Params) Membarrier(n int) Range {
	switch {
	case n <= 1:
		return exactly(p.MembarrierAlone)
	case n == 2:
		return exactly(p.MembarrierPeer)
	}
	return exactly(p.MembarrierPeer).plus(spread(p.assumed("ipi_send_ns"), float64(n-2)))
}

// Scan is the cost of steps 2, 4 and 5 for n Ps that run. Each line was written
// by its P since the last scan: one miss per step in addition to what was
// measured in cache.
func (p *Params) Scan(n int) Range {
	warm := exactly(p.ScanP * float64(n))
	if n <= 1 {
		return warm
	}
	far := exactly(1)
	if n > 16 {
		far = spread(p.assumed("line_far"), 1)
	}
	// Step 5 comes right after step 4, but all Ps keep writing in between.
	return warm.plus(far.times(3 * p.Line * float64(n-1)))
}

// GracePeriod is one grace period with n Ps running and no reader to wait for.
func (p *Params) GracePeriod(n int) Range {
	return exactly(p.GPFixed).plus(p.Scan(n)).plus(p.Membarrier(n))
}

// Drain is one scan of the drain worker over n slots: two rounds of a swap and
// a look each, with a membarrier between.
func (p *Params) Drain(n int) Range {
	r := exactly(2 * p.DrainSlot * float64(n)).plus(p.Membarrier(n).times(2))
	if n > 1 {
		r = r.plus(exactly(4 * p.Line * float64(n-1)))
	}
	return r
}

// Station is a server of a closed queueing network.
type Station struct {
	Name   string
	Demand float64 // service per cycle
}

// MVA is exact mean value analysis of a closed network with n customers that
// think for z between cycles: throughput in cycles per ns, and each station's
// utilisation and waiting time per cycle.
func MVA(n int, z float64, st []Station) (x float64, busy, wait []float64) {
	q := make([]float64, len(st))
	wait, busy = make([]float64, len(st)), make([]float64, len(st))
	for k := 1; k <= n; k++ {
		total := z
		for i, s := range st {
			wait[i] = s.Demand * q[i]
			total += s.Demand + wait[i]
		}
		x = float64(k) / total
		for i, s := range st {
			q[i] = x * (s.Demand + wait[i])
		}
	}
	for i, s := range st {
		busy[i] = min(x*s.Demand, 1)
	}
	return x, busy, wait
}

// Closed is the closed network's answer for n Ps in a design as it is: each
// cycle visits the stacks and, for the share of sheaves that the depot can't
// keep, the slab lock. It has no scheduler and no bursts; the simulation has.
type Closed struct {
	PerP       float64 `json:"objects_per_s_per_p"`
	StackWait  float64 `json:"stack_wait_share"`
	LockBusy   float64 `json:"slab_lock_utilisation"`
	WorkerBusy float64 `json:"reclaim_worker_demand"` // above 1: it can't keep up
	ByHand     float64 `json:"kept_share"`            // of a burst, at most
}

// Closed solves the network. delay is the time from a pace's end to the worker's
// first instruction.
func (p *Params) Closed(n int, d Design, delay float64) Closed {
	z := p.SheafCap*(p.Pair+d.WorkNs) + max(p.SheafSlow-6*p.StackOp, 0)
	if !d.NoHelp {
		z += p.Handover
	}
	op := p.StackOp
	if n > 1 {
		op += p.contended(0)
	}
	depot := depotSize / (p.SheafCap * objectSize)
	if d.Depot > 0 {
		depot = float64(d.Depot)
	}
	if d.Depot == 0 {
		depot = max(depot, float64(n)*depotShare/(p.SheafCap*objectSize)) // what misses come to
	}
	// A burst is what gathers in a pace; the depot keeps what it has room for,
	// and while one sheaf is flushed, the Ps take n·flush/z others out of it.
	burst := max(float64(n)*(p.Pace+delay)/z, 1)
	kept := min(depot/burst, 1)
	flush, refill := p.SheafCap*p.FlushObj, p.SheafCap*p.RefillObj
	if kept < 1 {
		kept = max(kept, 1-1/(1+float64(n)*flush/z))
	}
	lock := (1 - kept) * (flush + refill)
	groups := d.groups(n)
	st := []Station{{resLock, lock}}
	if !sys.HasFence {
		st = append(st, Station{resCookie, op})
	}
	for range groups {
		share := op / float64(groups)
		st = append(st, Station{resFull, 2 * share}, Station{resEmpty, 2 * share}, Station{resPending, share}, Station{resCounts, share})
	}
	x, busy, wait := MVA(n, z, st)
	stacks := 0.0
	for _, w := range wait[1:] {
		stacks += w
	}
	worker := (1 - kept) * flush
	if d.NoHelp {
		worker += kept * (p.Handover + 2*op)
	}
	return Closed{
		PerP:       x / float64(n) * p.SheafCap * 1e9,
		StackWait:  stacks * x / float64(n),
		LockBusy:   busy[0],
		WorkerBusy: x * worker,
		ByHand:     kept,
	}
}

// InFlight is the memory that waits for its grace period: rate times the time
// from FreeRCU to reuse, and what a half-filled RCU sheaf of each P holds.
func (p *Params) InFlight(n int, perP, delay float64) float64 {
	age := p.Pace + delay + p.GracePeriod(n).Mid
	fill := p.SheafCap / perP * 1e9 // to fill a sheaf
	age += min(fill/2, drainEvery)
	perObject := objectSize + pageBytes/p.SheafCap
	rate := float64(n) * perP / 1e9 * perObject // bytes a ns
	// Calls of FreeRCU hand over what is more than helpOwn after the next grace period.
	return math.Ceil(min(rate*age, helpOwn+rate*2*p.GracePeriod(n).Mid))
}
