package compare

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/lockdep"
	"quiesce/rcu"
	"quiesce/slab"
)

func start(t testing.TB, name string, cfg Config) *Instance {
	t.Helper()
	in, err := New(name, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func end(t testing.TB, in *Instance) {
	t.Helper()
	if err := in.Close(); err != nil {
		t.Errorf("%s: %v", in.Name, err)
	}
}

// safe reports whether a strategy survives raw callers: array takes a lock
// there that may sleep, and is tested by its death.
func safe(name string, kind Caller) bool { return name != "array" || kind == Plain }

func each(t *testing.T, fn func(t *testing.T, name string, kind Caller)) {
	for _, s := range Strategies {
		for kind := range callers {
			if safe(s.Name, kind) {
				t.Run(s.Name+"/"+kind.String(), func(t *testing.T) { fn(t, s.Name, kind) })
			}
		}
	}
}

// fill allocates n objects with stamps of their own.
func fill(t testing.TB, in *Instance, n int) []*Object {
	t.Helper()
	objs := make([]*Object, n)
	for i := range objs {
		if objs[i] = in.Alloc(); objs[i] == nil {
			t.Fatalf("no memory after %d objects", i)
		}
		objs[i].Stamp = uint64(i) + 1
	}
	return objs
}

// freeAll frees in bursts of 64.
func freeAll(c *caller, objs []*Object, before func(raw bool)) {
	for len(objs) > 0 {
		burst := objs[:min(64, len(objs))]
		objs = objs[len(burst):]
		c.do(func(raw bool) {
			if before != nil {
				before(raw)
			}
			for _, o := range burst {
				c.free(o, raw)
			}
		})
	}
}

// distinct allocates n objects and checks that none came twice.
func distinct(t testing.TB, in *Instance, n int) {
	t.Helper()
	seen := map[*Object]bool{}
	for range n {
		o := in.Alloc()
		if o == nil {
			t.Errorf("%s: no memory after %d objects", in.Name, len(seen))
			break
		}
		if seen[o] {
			t.Fatalf("%s: object %p has two owners", in.Name, o)
		}
		seen[o] = true
	}
	for o := range seen {
		in.cache.Free(o)
	}
	if n := in.cache.Validate(); n != 0 {
		t.Errorf("%s: %d errors in the cache", in.Name, n)
	}
}

// Race builds have small ranges, and each access is some hundred times slower.
const (
	many        = 20_000 / slower
	writeBursts = 400 / slower
)

// Nothing comes back while a reader is there, everything when it has left and
// Barrier has returned, each once.
func TestObjectsComeBackOnceAndNotBeforeTheirReadersLeft(t *testing.T) {
	each(t, func(t *testing.T, name string, kind Caller) {
		in := start(t, name, Config{Depot: 1 << 30})
		objs := fill(t, in, many)
		g := rcu.ReadLock()
		freeAll(in.newCaller(kind), objs, nil)
		sys.Sleep(10_000_000)
		if c := in.Counts(); c.Reclaimed != 0 {
			t.Errorf("%d objects came back while a reader was there", c.Reclaimed)
		}
		for i, o := range objs {
			if o.Stamp != uint64(i)+1 {
				t.Fatalf("object %d changed while a reader was there", i)
			}
		}
		g.Unlock()
		in.Barrier()
		c := in.Counts()
		if c.Reclaimed != many {
			t.Errorf("%d objects came back after Barrier, want %d", c.Reclaimed, many)
		}
		if c.Arrays+c.Fallback != many {
			t.Errorf("%d in arrays and %d on the list, want %d together", c.Arrays, c.Fallback, many)
		}
		distinct(t, in, many)
		end(t, in)
	})
}

// The same while readers look and writers replace, with this P's page list
// emptied before every burst, at a limit that makes allocations wait.
func TestReadersNeverSeeAnObjectThatCameBack(t *testing.T) {
	each(t, func(t *testing.T, name string, kind Caller) {
		in := start(t, name, Config{Limit: 24 << 20, Depot: 1 << 20})
		var table [64]slab.Pointer[Object]
		var stop atomic.Bool
		var wrong atomic.Uint64
		var readers, writers sync.WaitGroup
		for r := range 2 {
			readers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(r), 1))
				for !stop.Load() {
					g := rcu.ReadLock()
					if o := table[rng.IntN(len(table))].Load(); o != nil {
						s := atomic.LoadUint64(&o.Stamp)
						for range rng.IntN(3) {
							runtime.Gosched()
						}
						if atomic.LoadUint64(&o.Stamp) != s {
							wrong.Add(1)
						}
					}
					g.Unlock()
				}
			})
		}
		var freed, stamp atomic.Uint64
		for w := range 2 {
			writers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(w), 2))
				c := in.newCaller(kind)
				squeezed := in.Squeeze(256)
				for range writeBursts {
					var fresh []*Object
					for range 32 {
						o := in.Alloc()
						if o == nil {
							continue
						}
						atomic.StoreUint64(&o.Stamp, stamp.Add(1))
						fresh = append(fresh, o)
					}
					c.do(func(raw bool) {
						if raw {
							squeezed.Take()
						}
						for _, o := range fresh {
							if old := table[rng.IntN(len(table))].Swap(o); old != nil {
								c.free(old, raw)
								freed.Add(1)
							}
						}
					})
					squeezed.Release()
				}
			})
		}
		writers.Wait()
		stop.Store(true)
		readers.Wait()
		for i := range table {
			if o := table[i].Swap(nil); o != nil {
				in.Free(o)
				freed.Add(1)
			}
		}
		in.Barrier()
		if n := wrong.Load(); n != 0 {
			t.Errorf("%d objects changed under a reader", n)
		}
		if c := in.Counts(); c.Reclaimed != freed.Load() {
			t.Errorf("%d came back of %d", c.Reclaimed, freed.Load())
		}
		if s := in.Pages(); s.Peak > 24<<20 {
			t.Errorf("%d bytes held, over the limit", s.Peak)
		}
		distinct(t, in, 1000)
		end(t, in)
	})
}

// All memory allocated, page lists empty: frees still work, and give it back.
func TestFreesWorkWithoutMemory(t *testing.T) {
	each(t, func(t *testing.T, name string, kind Caller) {
		const limit = 6 << 20
		in := start(t, name, Config{Limit: limit})
		var objs []*Object
		for {
			o := in.cache.Alloc(gfp.NoWait | gfp.NoWarn)
			if o == nil {
				break
			}
			objs = append(objs, o)
		}
		squeezed := in.Squeeze(4096)
		freeAll(in.newCaller(kind), objs, func(raw bool) {
			if raw {
				squeezed.Take()
			}
		})
		in.Barrier()
		squeezed.Release()
		if c := in.Counts(); c.Reclaimed != uint64(len(objs)) {
			t.Errorf("%d came back of %d", c.Reclaimed, len(objs))
		}
		if s := in.Pages(); s.Peak > limit {
			t.Errorf("%d bytes held, over the limit of %d", s.Peak, limit)
		}
		distinct(t, in, len(objs)/2)
		end(t, in)
	})
}

// What a strategy is for shows in where its objects went.
func TestRoutes(t *testing.T) {
	for _, c := range []struct {
		name              string
		kind              Caller
		squeeze           bool
		least, most, wait float64 // share of the list, and of the queue
	}{
		{"list", Plain, false, 1, 1, 0},
		{"callrcu", Plain, false, 1, 1, 0},
		{"array", Plain, true, 0, 0, 0},
		{"nolocks", Plain, false, 0, 0.9, 0},
		{"nolocks", Raw, true, 0.9, 1, 0},
		{"detect", Plain, true, 0, 0, 0},
		{"detect", Raw, false, 0.99, 1, 0},
		{"defer", Raw, true, 0, 0, 1},
		{"defer", Plain, false, 0, 0, 0},
		{"rawapi", Raw, false, 1, 1, 0},
		{"rawapi", Plain, false, 0, 0, 0},
		{"rawlocks", Raw, true, 0, 0, 0},
		{"prefill", Raw, true, 0.01, 1, 0},
		{"trylock", Raw, true, 0, 0.1, 0},
		{"batch", Raw, true, 0, 0, 0},
		{"sheaf", Raw, false, 0, 0.05, 0},
		{"owner", Raw, false, 0, 0.05, 0},
	} {
		// What lies between 0 and 1 depends on the pace of the refills and of the
		// frees, and so on what else the machine does: one of ten runs is enough.
		tries := 1
		if c.least != c.most {
			tries = 10
		}
		var share, queued float64
		ok := false
		for ; tries > 0 && !ok; tries-- {
			share, queued = routes(t, c.name, c.kind, c.squeeze)
			// lockdep's hooks change the pace more than fiftyfold.
			paced := lockdep.Tagged && c.least != c.most
			ok = (share >= c.least && share <= c.most || paced) && queued == c.wait
		}
		if !ok {
			t.Errorf("%s, %s callers: %.3f on the list and %.3f queued, want %.2f to %.2f and %.0f", c.name, c.kind, share, queued, c.least, c.most, c.wait)
		}
	}
}

// routes frees objects while a reader is there, and returns the share of them that
// went on the list, and that a queue held before.
func routes(t *testing.T, name string, kind Caller, squeeze bool) (list, queued float64) {
	const many = 20_000
	in := start(t, name, Config{Depot: 1 << 30})
	objs := fill(t, in, many)
	squeezed := in.Squeeze(4096)
	g := rcu.ReadLock()
	freeAll(in.newCaller(kind), objs, func(raw bool) {
		if raw && squeeze {
			squeezed.Take()
		}
	})
	g.Unlock()
	in.Barrier()
	squeezed.Release()
	n := in.Counts()
	end(t, in)
	return float64(n.Fallback) / many, float64(n.Deferred) / many
}

// With nothing to do there is no goroutine.
func TestWorkersEnd(t *testing.T) {
	before := runtime.NumGoroutine()
	each(t, func(t *testing.T, name string, kind Caller) {
		in := start(t, name, Config{})
		c := in.newCaller(kind)
		freeAll(c, fill(t, in, 2000), nil)
		for i := 0; in.Counts().Reclaimed < 2000; i++ {
			if i == 500 {
				t.Fatalf("%+v after half a second without a Barrier", in.Counts())
			}
			sys.Sleep(1_000_000)
			c.idle()
		}
		end(t, in)
	})
	for i := 0; runtime.NumGoroutine() > before; i++ {
		if i == 1000 {
			t.Fatalf("%d goroutines, %d at the start", runtime.NumGoroutine(), before)
		}
		sys.Sleep(1_000_000)
	}
}
