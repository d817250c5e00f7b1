package predict

import (
	"fmt"
	"math"
	"testing"
)

// With a processor for each P no grace period stands still, and the length of a run says nothing:
// what is left is of the code alone.
func TestProcessorsForAllLeaveTheCodesOwnLocks(t *testing.T) {
	p := some()
	want := (2.0 + 4) / p.batch() * 1000 / p.SheafCap
	for _, procs := range []int{64, 65, 1024} {
		for _, objects := range []int{64000, 1 << 24, 1 << 30} {
			r := Counting{Ps: 64, Procs: procs, Objects: objects}
			if c := p.crowd(r); c != (crowd{}) {
				t.Errorf("%+v: %+v", r, c)
			}
			s, _ := p.Foretell("churn", r, 0)
			near(t, fmt.Sprintf("locks of %+v", r), s.Holds, want, 1e-9)
		}
	}
}

// Each sheaf is closed while a grace period stands still or is one of a batch.
func TestSheavesAreOfABatchOrComeMeanwhile(t *testing.T) {
	p := some()
	for _, ps := range []int{1, 2, 3, 16, 64, 512} {
		for _, sheaves := range []float64{1, 33, 1000, 1e5} {
			c := p.crowding(Counting{Ps: ps, Procs: 2})
			still, batches := c.run(sheaves)
			near(t, fmt.Sprintf("%d Ps, sheaves of %v", ps, sheaves), still+batches*c.batch, sheaves, 1e-9)
			if sheaves > 100 && ps <= 2 != (still == 0) {
				t.Errorf("%d Ps: %v of %v meanwhile", ps, still, sheaves)
			}
		}
	}
}

// In a long run all Ps run, and the share that comes meanwhile is that of the time that a grace
// period stands still: risk · stall to a batch. How long a slice is has no part in it
// then, because a longer one is lost more rarely, and waited for longer.
func TestLongRunsHaveTheShareOfAllPs(t *testing.T) {
	for _, slice := range []float64{1e6, 4e6} {
		for _, ps := range []int{8, 64} {
			p := some()
			p.Slice = slice
			c := p.crowding(Counting{Ps: ps, Procs: 2})
			lost := c.risk * slice * float64(ps-2) / c.sheaf
			sheaves := (1 << 36) / p.SheafCap
			still, _ := c.run(sheaves)
			near(t, fmt.Sprintf("%d Ps, slice of %v ns", ps, slice), still/sheaves, lost/(c.batch+lost), 0.02)
		}
	}
}

// The square of the number of running Ps grows by 2 for each slice of work.
func TestPsComeToRunOneAfterTheOther(t *testing.T) {
	p := some()
	c := p.crowding(Counting{Ps: 64, Procs: 2})
	c.risk = 0
	sheaves := 100 * p.Slice / c.sheaf
	c.run(sheaves + 2*c.batch)
	near(t, "Ps", c.most, math.Sqrt(4+2*100), 0.02)
	c.run(1e6)
	near(t, "Ps", c.most, 64, 0)
}

// What comes out of new slabs is what the longest stall had in flight: the longer the
// run, the smaller a part, and never more than all waiting Ps close in a slice each.
func TestNewSlabsAreASmallerPartOfALongerRun(t *testing.T) {
	p := some()
	last := math.Inf(1)
	for _, objects := range []int{1 << 24, 1 << 27, 1 << 30, 1 << 33} {
		r := Counting{Ps: 64, Procs: 2, Objects: objects}
		f, c := p.crowd(r).fresh, p.crowding(r)
		if f >= last || f < 0 || f == 0 && objects < 1<<33 {
			t.Errorf("%d objects: %v of the sheaves are out of new slabs, %v of a shorter run", objects, f, last)
		}
		most := c.batch + 62*p.Slice/c.sheaf + 64
		if all := f * float64(objects) / p.SheafCap; all > most {
			t.Errorf("%d objects: %v sheaves are new, %v can be in flight", objects, all, most)
		}
		last = f
	}
}

// A slab of 512 objects is two holds of the cache, a quarter of one of the zone, and
// eight pages of a section's 128.
func TestFreshSheavesCostTheHoldsOfTheirSlabs(t *testing.T) {
	p := some()
	p.SheafCap = 512
	near(t, "holds", p.freshHolds(), 2+1.0/4+1.0/32+9*4.0/128, 1e-9)
	whole, none := *p, *p
	r := Counting{Ps: 64, Procs: 2, Objects: sharedObjects}
	c := whole.crowd(r)
	none.Slice = 1e300
	n, _ := none.Foretell("churn", r, 0)
	s, _ := whole.Foretell("churn", r, 0)
	near(t, "holds of a crowd", s.Holds-n.Holds, c.fresh*whole.freshHolds()*1000/512, 0.01)
}

// A run between two losses of the processor is whole.
func TestSliceIsWhatAThreadKeeps(t *testing.T) {
	m := &meter{ctx: t.Context(), windows: 40, p: some()}
	if err := m.slice(); err != nil {
		t.Fatal(err)
	}
	if s := m.p.Slice; s <= 0 || s > leastWatched {
		t.Errorf("a slice is %v ns, of %v", s, leastWatched)
	}
	if err := m.newPages(); err != nil || m.p.NewPage <= 0 {
		t.Errorf("a new page takes %v ns: %v", m.p.NewPage, err)
	}
}
