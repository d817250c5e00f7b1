package compare

import (
	"sync"
	"sync/atomic"

	"quiesce/gfp"
	"quiesce/internal/pages"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
)

// The strategies that are little more than a choice of where arrays come from.

// list is kfree_rcu until Linux 5.6: every object is chained through the
// rcu_head inside of it.
type list struct{ *batcher }

func newList(in *Instance) (engine, error) {
	return list{newBatcher(in, zone{in: in})}, nil
}

func (l list) free(o *Object)    { l.chain(o) }
func (l list) freeRaw(o *Object) { l.chain(o) }

// callrcu has rcu.Call free each object. Call keeps its callbacks in arrays,
// but every element points to a closure, which is cold by then: the arrays
// leave one miss for each object.
type callrcu struct {
	zone
	called, done atomic.Uint64
}

func newCallRCU(in *Instance) (engine, error) {
	return &callrcu{zone: zone{in: in}}, nil
}

func (c *callrcu) free(o *Object) {
	c.called.Add(1)
	rcu.Call(func() {
		c.in.cache.Free(o)
		c.done.Add(1)
	})
}

func (c *callrcu) freeRaw(o *Object) { c.free(o) }
func (c *callrcu) barrier()          { rcu.Barrier() }

func (c *callrcu) counts() Counts {
	return Counts{Fallback: c.called.Load(), Reclaimed: c.done.Load()}
}

// batch has one function free the objects that an rcu.Batch keeps in its arrays: no
// closure, and one call for each array.
type batch struct {
	zone
	objects      *rcu.Batch[Object]
	called, done atomic.Uint64
}

func newBatch(in *Instance) (engine, error) {
	b := &batch{zone: zone{in: in}}
	b.objects = rcu.NewBatch("compare.batch", func(os []*Object) {
		in.cache.FreeBulk(os)
		b.done.Add(uint64(len(os)))
	})
	return b, nil
}

func (b *batch) free(o *Object) {
	b.called.Add(1)
	b.objects.Add(o)
}

func (b *batch) freeRaw(o *Object) { b.free(o) }
func (b *batch) barrier()          { b.objects.Barrier() }
func (b *batch) close() error      { return b.objects.Close() }

func (b *batch) counts() Counts {
	return Counts{Arrays: b.called.Load(), Reclaimed: b.done.Load()}
}

// zone is the source of arrays that is the page allocator itself, asked with
// the same flags whatever the context.
type zone struct {
	in    *Instance
	flags gfp.Flags
}

func (z zone) get() *array { return (*array)(z.in.pages.Alloc(0, z.flags)) }

func (z zone) put(a *array)    { freePage(z.in, a) }
func (z zone) hurry()          {}
func (z zone) wakeups() uint64 { return 0 }
func (z zone) close() error    { return nil }

func (z zone) contend(fn func()) {
	zone := pages.CoreOf(z.in.pages)
	zone.LockZone()
	fn()
	zone.UnlockZone()
}

// newArray is the first version of the arrays (December 2019): GFP_NOWAIT never
// waits for memory, but it takes the zone's lock once this P's list is empty.
// In a raw atomic context with preempt_rt=1 that is the end of the process if
// the lock is held elsewhere.
func newArray(in *Instance) (engine, error) {
	return newBatcher(in, zone{in, gfp.NoWait | gfp.NoWarn}), nil
}

// newNoLocks is the mail's proposal: where an allocation would take the zone's
// lock it returns nil, and the object goes on the list. The library's own NoLocks
// has become more than that: it tries the lock, and mends a refusal.
func newNoLocks(in *Instance) (engine, error) {
	return newBatcher(in, zone{in, noLocksPage | pages.ListOnly}), nil
}

// detect is alternative 1. That a caller is pinned is known here from the word
// that RCU's pinned readers count in anyway, which costs slow paths one load;
// Tracking measures what it would cost readers that do not count.
type detect struct{ zone }

func newDetect(in *Instance) (engine, error) {
	return newBatcher(in, detect{zone{in, gfp.NoWait | gfp.NoWarn}}), nil
}

func (d detect) get() *array {
	if preempt.Atomic() {
		return nil
	}
	return d.zone.get()
}

// rawapi is alternative 3: FreeRaw is kfree_rcu_raw, and never allocates. To
// call Free in a raw atomic context is the developer's mistake.
type rawapi struct{ *batcher }

func newRawAPI(in *Instance) (engine, error) {
	return rawapi{newBatcher(in, zone{in, gfp.NoWait | gfp.NoWarn})}, nil
}

func (r rawapi) freeRaw(o *Object) { r.chain(o) }

// trylock is Linux 6.15's alloc_pages_nolock: the lock may be one that sleeps,
// because it is never waited for. A caller that finds it held does without.
type trylock struct{ *pool }

func newTryLock(in *Instance) (engine, error) {
	return onPool(in, "compare.trylock.zone", new(lock.Spin), func(p *pool) source { return trylock{p} })
}

func (t trylock) get() *array {
	s := preempt.DisableIRQ() // a handler may try too
	if !t.lock.TryLock() {
		s.Restore()
		return nil
	}
	a := t.takeLocked()
	few := t.left < poolLow
	t.lock.Unlock()
	s.Restore()
	if few {
		t.wantMore()
	}
	return a
}

// put is kfree_nolock: where the lock is held, the page waits for its next
// holder.
func (t trylock) put(a *array) {
	s := preempt.DisableIRQ()
	if t.lock.TryLock() {
		t.putLocked(a)
		t.lock.Unlock()
	} else {
		t.putLate(a)
	}
	s.Restore()
}

// sheaf is what this library ships: the array is one of the allocator's own,
// goes back to it whole, and its pointers are the next allocations.
type sheaf struct{ zone }

func newSheaf(in *Instance) (engine, error) {
	return sheaf{zone{in: in}}, nil
}

func (s sheaf) free(o *Object)    { s.in.cache.FreeRCU(o) }
func (s sheaf) freeRaw(o *Object) { s.in.cache.FreeRCU(o) }
func (s sheaf) barrier()          { s.in.cache.Barrier() }

func (s sheaf) counts() Counts {
	st := s.in.cache.Stats()
	return Counts{
		Arrays:    st.RCUArrays,
		Fallback:  st.Fallback,
		Reclaimed: st.Reused + st.Bulk + st.FallbackFreed,
	}
}

// owner is sheaf, with a slab.Sheaf for each caller: what it frees stays with it until
// the array is full, or its next call finds that it waited for long. Nobody else
// can take it, so Barrier closes the Sheaves; the callers must do nothing else then.
type owner struct {
	sheaf
	mu    sync.Mutex
	users []*caller
}

func newOwner(in *Instance) (engine, error) { return &owner{sheaf: sheaf{zone{in: in}}}, nil }

// open gives a caller a Sheaf. Without memory for one it does as strategy sheaf.
func (o *owner) open(c *caller) {
	own, err := o.in.cache.Sheaf(0, gfp.NoWait|gfp.NoWarn) // a reader may open it
	if err != nil {
		return
	}
	c.own = own
	o.mu.Lock()
	o.users = append(o.users, c)
	o.mu.Unlock()
}

func (o *owner) barrier() {
	o.mu.Lock()
	for _, c := range o.users {
		c.own.Close()
		c.own = nil
	}
	o.users = nil
	o.mu.Unlock()
	o.sheaf.barrier()
}
