package properties

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// object is whole if its words fit together.
type object struct {
	n    uint64
	rest [7]uint64
}

func (o *object) set(n uint64) {
	o.n = n
	for i := range o.rest {
		o.rest[i] = n * uint64(i+3)
	}
}

func (o *object) whole(n uint64) bool {
	for i, w := range o.rest {
		if w != n*uint64(i+3) {
			return false
		}
	}
	return o.n == n
}

// step is one operation of a worker's program.
type step struct {
	what string
	slot int
	n    int
}

var what = []string{
	"publish", "publish", "publish bulk", "publish if unchanged", "publish pinned",
	"remove", "remove in an interrupt", "remove and wait", "remove and call",
	"read", "read", "read all", "read pinned", "shrink", "barrier", "processors",
}

func program(slots int) *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			rapid.SampledFrom(what).Draw(t, "what"),
			rapid.IntRange(0, slots-1).Draw(t, "slot"),
			rapid.IntRange(0, 40).Draw(t, "n"),
		}
	}), 1, 60)
}

// board is what the workers share: links to objects that readers find.
type board struct {
	c      *slab.Cache[object]
	slots  []slab.Pointer[object]
	number atomic.Uint64
	made   atomic.Int64 // objects handed out
	ended  atomic.Int64 // objects returned
	wrong  atomic.Pointer[string]
}

func (b *board) fail(what string) { b.wrong.CompareAndSwap(nil, &what) }

func (b *board) alloc(f gfp.Flags) *object {
	p := b.c.Alloc(f | gfp.NoWarn)
	if p != nil {
		b.made.Add(1)
		p.set(b.number.Add(1))
	}
	return p
}

// retire frees what was unlinked.
func (b *board) retire(p *object) {
	if p != nil {
		b.ended.Add(1)
	}
	b.c.FreeRCU(p)
}

// read reads a slot's object twice, with fn between.
func (b *board) read(slot int, fn func()) {
	p := b.slots[slot].Load()
	if p == nil {
		return
	}
	n := p.n
	if !p.whole(n) {
		b.fail("a reader found an object that is not whole")
	}
	fn()
	if !p.whole(n) {
		b.fail("an object changed under a reader")
	}
}

func (b *board) step(s step) {
	switch s.what {
	case "publish":
		if p := b.alloc(gfp.Kernel); p != nil {
			b.retire(b.slots[s.slot].Swap(p))
		}
	case "publish bulk":
		ps := make([]*object, s.n)
		ps = ps[:b.c.AllocBulk(gfp.NoWait|gfp.NoWarn, ps)]
		b.made.Add(int64(len(ps)))
		for i, p := range ps {
			p.set(b.number.Add(1))
			if i%2 == 0 {
				b.retire(b.slots[(s.slot+i)%len(b.slots)].Swap(p))
				ps[i] = nil
			} else {
				b.ended.Add(1)
			}
		}
		b.c.FreeBulk(ps)
	case "publish if unchanged":
		g := rcu.ReadLock()
		old := b.slots[s.slot].Load()
		if p := b.alloc(gfp.NoWait); p != nil {
			if b.slots[s.slot].CompareAndSwap(old, p) {
				b.retire(old)
			} else {
				b.ended.Add(1)
				b.c.Free(p)
			}
		}
		g.Unlock()
	case "publish pinned":
		p := preempt.Disable()
		if o := b.alloc(gfp.NoLocks); o != nil {
			b.retire(b.slots[s.slot].Swap(o))
		}
		p.Enable()
	case "remove":
		b.retire(b.slots[s.slot].Swap(nil))
	case "remove in an interrupt":
		preempt.Hardirq(func() { b.retire(b.slots[s.slot].Swap(nil)) })
	case "remove and wait":
		if p := b.slots[s.slot].Swap(nil); p != nil {
			rcu.Synchronize()
			p.set(0) // ours alone
			b.ended.Add(1)
			b.c.Free(p)
		}
	case "remove and call":
		if p := b.slots[s.slot].Swap(nil); p != nil {
			rcu.Call(func() {
				p.set(0)
				b.ended.Add(1)
				b.c.Free(p)
			})
		}
	case "read":
		g := rcu.ReadLock()
		b.read(s.slot, func() {
			for range s.n {
				runtime.Gosched()
			}
		})
		g.Unlock()
	case "read all": // as many objects at a time as there are
		g := rcu.ReadLock()
		fn := runtime.Gosched
		for i := range b.slots {
			inner := fn
			fn = func() { b.read(i, inner) }
		}
		fn()
		g.Unlock()
	case "read pinned":
		p := preempt.DisableIRQ()
		b.read(s.slot, func() {})
		p.Restore()
	case "shrink":
		b.c.Shrink()
	case "barrier":
		b.c.Barrier()
	case "processors":
		runtime.GOMAXPROCS(2 + s.n%3)
	}
}

// Readers find whole objects, which don't change until the guard is unlocked, and
// everything freed is reclaimed: for any programs of several goroutines that
// publish, replace and remove in every possible way, any sizes, and any limit.
func TestObjectsFoundByReadersStayUnderAnySchedule(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.SampledFrom([]int64{0, 512 << 10, 2 << 20}).Draw(t, "limit")
		sheaf := rapid.SampledFrom([]int{1, 2, 5, 60, 510}).Draw(t, "sheaf")
		depot := rapid.SampledFrom([]int64{0, 4096, 1 << 20}).Draw(t, "depot")
		slots := rapid.IntRange(1, 6).Draw(t, "slots")
		programs := rapid.SliceOfN(program(slots), 2, 5).Draw(t, "programs")
		rounds := rapid.IntRange(1, 10).Draw(t, "rounds")
		a, err := page.New(page.Config{Limit: limit, Reserve: 1 << 30, ReclaimTimeout: 5 * time.Millisecond, Name: "schedule"})
		if err != nil {
			t.Fatal(err)
		}
		b := &board{slots: make([]slab.Pointer[object], slots)}
		b.c, err = slab.NewCache[object]("schedule", slab.WithAllocator(a), slab.WithSheaf(sheaf), slab.WithDepot(depot))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, steps := range programs {
			wg.Go(func() {
				for range rounds {
					for _, s := range steps {
						b.step(s)
					}
				}
			})
		}
		wg.Wait()
		for i := range b.slots {
			b.retire(b.slots[i].Swap(nil))
		}
		rcu.Barrier() // for the callbacks that free
		b.c.Barrier()
		if s := b.c.Stats(); s.RCUArrays != s.Reused+s.Bulk || s.Fallback != s.FallbackFreed || s.Pending != 0 {
			t.Fatalf("after Barrier: %+v", s)
		}
		if made, ended := b.made.Load(), b.ended.Load(); made != ended {
			t.Fatalf("%d objects were made and %d returned: the test is wrong", made, ended)
		}
		if err := b.c.Close(); err != nil {
			t.Fatal(err)
		}
		if s := a.Stats(); limit > 0 && s.Peak > limit {
			t.Fatalf("above the limit: %+v", s)
		}
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
		if w := b.wrong.Load(); w != nil {
			t.Fatal(*w)
		}
	})
}
