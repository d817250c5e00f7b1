package predict

import (
	"fmt"
	"unsafe"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/page"
	"quiesce/slab"
)

// newCache makes a cache of its own pages.
func newCache(depot int64) (*slab.Cache[obj], func() error, error) {
	a, err := page.New(page.Config{})
	if err != nil {
		return nil, nil, err
	}
	c, err := slab.NewCache[obj]("predict", slab.WithAllocator(a), slab.WithDepot(depot))
	if err != nil {
		a.Close()
		return nil, nil, err
	}
	return c, kit.InOrder(c.Close, a.Close), nil
}

const roomy = 64 << 20 // a depot that never is full

// newFilled makes a roomy cache that has objects in its depot.
func newFilled(objects int) (*slab.Cache[obj], func() error, error) {
	c, end, err := newCache(roomy)
	if err == nil {
		err = fill(c, objects)
	}
	return c, end, err
}

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
		v = append(v, (sum-float64(parts)*kit.Quantile(all, 0.5))/10)
		c.Barrier()
	}
	m.p.SheafSlow = max(kit.Quantile(v, 0.25), 0)
	return end()
}

// slabs measures what leaves sheaves and comes back into them, by filling the
// depot and returning everything.
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
	m.p.AllocOnly = kit.Quantile(alloc, 0.25)
	m.p.FreeBulk = kit.Quantile(free, 0.25)
	m.p.RefillObj = max(kit.Quantile(refill, 0.25)-m.p.AllocOnly, 0)
	m.p.FlushObj = kit.Quantile(flush, 0.25)
	return end()
}

// handover takes the worker's time per sheaf from the difference between a
// Barrier after twenty sheaves and one after two.
func (m *meter) handover() error {
	defer procs(1)()
	capacity := int(m.p.SheafCap)
	c, end, err := newFilled(60 * capacity)
	if err != nil {
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
		return kit.Quantile(v, 0.5)
	}
	few, many := barrier(2), barrier(20)
	m.p.Handover = max((many-few)/18, 2*m.p.StackOp)
	var v []float64
	for range max(m.windows/20, 5) {
		t := sys.Nanotime()
		sys.Sleep(200_000)
		v = append(v, float64(sys.Nanotime()-t))
	}
	m.p.Pace = kit.Quantile(v, 0.5)
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
			blocks[i] = a.Alloc(slabOrder, gfp.Kernel)
		}
		for _, b := range blocks {
			if b != nil {
				a.Free(b, slabOrder)
			}
		}
	}) / float64(len(blocks))
	return a.Close()
}

// newPages measures the pages of slabs that have never been used.
func (m *meter) newPages() error {
	defer procs(1)()
	const blocks = 256
	var v []float64
	for range max(m.windows/20, 5) {
		a, err := page.New(page.Config{})
		if err != nil {
			return err
		}
		var got [blocks]unsafe.Pointer
		t := sys.Nanotime()
		for i := range got {
			got[i] = a.Alloc(slabOrder, gfp.Kernel)
		}
		v = append(v, float64(sys.Nanotime()-t)/(blocks*slabPages))
		for _, b := range got {
			if b != nil {
				a.Free(b, slabOrder)
			}
		}
		if err := a.Close(); err != nil {
			return err
		}
	}
	m.p.NewPage = kit.Quantile(v, 0.25)
	return nil
}
