package predict

import "math"

// What it costs that tests/shared has more Ps than processors, and that its runs are
// short. Closed forms again, in sheaves, of expected values.
//
// A helper asks for a grace period and yields its P to the goroutine that drives it.
// Where more Ps run than there are processors, the system may take the processor from
// that thread before the grace period is over: it is at risk from the moment that the
// sheaves are collected. It gets a processor back after each of the Ps that wait has
// had its slice. What these close meanwhile is much more than is pending otherwise, and
// what the depot does not have of it comes out of new slabs.
//
// Not all Ps run. Go wakes a thread for one P, and that thread, when it has found
// work, the next. Each waits until those that run have had a slice, so that their
// number squared grows by 2 for each slice of work, and a short run ends before there
// are many.

// Counting is a run that is foretold.
type Counting struct {
	Ps, Procs int
	Objects   int // all Ps together; a quarter as many come before, and are not counted
}

// crowd is what a run has per sheaf because of that.
type crowd struct {
	fresh float64 // sheaves of objects out of new slabs
}

// crowding follows a run from one grace period to the next.
type crowding struct {
	p             *Params
	ps, procs     float64
	batch, risk   float64
	sheaf, growth float64 // ns of a processor: a sheaf's life, and what one out of new slabs takes more
	peak          float64 // sheaves of objects that there are
	most          float64 // Ps that ran at a time
}

// crowd foretells it.
func (p *Params) crowd(r Counting) crowd {
	c := p.crowding(r)
	sheaves := float64(r.Objects) / p.SheafCap
	c.run(sheaves / 4)
	before := c.peak + c.most // each P has a sheaf's worth in two
	c.run(sheaves)
	return crowd{fresh: (c.peak + c.most - before) / sheaves}
}

func (p *Params) crowding(r Counting) *crowding {
	running := min(r.Ps, r.Procs)
	gp := p.GracePeriod(running).Mid
	sheaf := p.SheafCap*p.Pair + p.SheafSlow + p.Handover + (gp+p.IPISteal*float64(running-1))/p.batch()
	// Where the last of a batch go with others, the goroutine that drives the grace
	// period waits for its P's next sheaf.
	exposed := gp + leftOver*sheaf
	c := &crowding{
		p: p, ps: float64(r.Ps), procs: float64(r.Procs),
		batch: p.batch(), risk: min(exposed/p.Slice, 1),
		sheaf: sheaf, growth: p.SheafCap*p.RefillObj + p.pagesOfSheaf()*p.NewPage,
	}
	c.peak, c.most = c.batch, min(c.ps, c.procs)
	return c
}

// run is a run of so many sheaves, at whose beginning the threads sleep. It returns how
// many of them were closed while a grace period stood still, and how often enough others
// were pending.
func (c *crowding) run(sheaves float64) (still, batches float64) {
	k := min(c.ps, c.procs)
	for left := sheaves; left > 0; {
		q := c.stall(k)
		step := c.batch + c.risk*q
		part := min(left/step, 1) // of the last one
		still += part * c.risk * q
		batches += part
		c.peak += part * c.risk * max(c.batch+q-c.peak, 0)
		c.most = max(c.most, k)
		k = min(math.Sqrt(k*k+2*part*step*c.sheaf/c.p.Slice), c.ps)
		left -= step
	}
	return still, batches
}

// stall is how many sheaves are closed while a thread waits that lost its processor
// when k Ps ran: those in the depot first.
func (c *crowding) stall(k float64) float64 {
	others := max(k-c.procs, 0) * c.p.Slice
	had := min(others, max(c.peak-c.batch, 0)*c.sheaf)
	return had/c.sheaf + (others-had)/(c.sheaf+c.growth)
}

// pagesOfSheaf is how many pages the objects of a sheaf take, and its array.
func (p *Params) pagesOfSheaf() float64 { return p.SheafCap/perSlab*slabPages + 1 }

// freshHolds is what a sheaf of objects out of new slabs costs in locks. An
// allocation that finds no object locks the slabs again when it has the pages of one
// more. The zone gives the pages of several for one hold; where it has none, its
// frontier moves.
func (p *Params) freshHolds() float64 {
	slabs := p.SheafCap / perSlab
	return 2*slabs + slabs/slabBatch + 1.0/pageBatch + p.pagesOfSheaf()/sectionPage*frontierHolds
}

// freshRMWs is the same in read-modify-writes. A section becomes slabs by one split
// less than there are slabs.
func (p *Params) freshRMWs() float64 {
	slabs := p.SheafCap / perSlab
	return p.pagesOfSheaf() + slabs*(2*listRMWs+newSlabRMWs) + 2*listRMWs
}

const (
	frontierHolds = 4 // a look in vain, the frontier's lock, the zone twice
	listRMWs      = 3 // of the zone's figures: a block to a list, or off it
	newSlabRMWs   = 4 // a pop of empty sheaves in vain, their miss, the slab's bytes
)
