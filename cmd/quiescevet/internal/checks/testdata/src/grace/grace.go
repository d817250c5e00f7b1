// Package grace waits for readers, and is one.
package grace

import (
	"quiesce/cache"
	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

var (
	m *rcuhash.Map[string, int]
	c *slab.Cache[int]
	h *cache.Cache[string, int]
)

func waits() {
	g := rcu.ReadLock()
	rcu.Synchronize() // want `rcu.Synchronize in the read-side section from rcu.ReadLock \(line 19\)`
	g.Unlock()
}

func puts(k string) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if m.Get(g, k) == nil {
		m.Put(k, 1) // want `Map.Put in the read-side section`
	}
}

func allocates() {
	rcu.Read(func(rcu.Guard) {
		c.Free(c.Alloc(gfp.Kernel)) // want `Cache.Alloc in the read-side section from rcu.Read \(line 33\): it may wait for memory with gfp.Kernel`
	})
}

func flush() {
	rcu.Barrier()
}

func indirectly() {
	g := rcu.ReadLock()
	flush() // want `grace.flush in the read-side section`
	g.Unlock()
}

func closes() {
	g := rcu.ReadLock()
	m.Close() // want `Map.Close in the read-side section`
	g.Unlock()
}

// From here on all is right.

func after(k string) {
	g := rcu.ReadLock()
	found := m.Get(g, k) != nil
	g.Unlock()
	if !found {
		m.Put(k, 1)
	}
	rcu.Synchronize()
}

func nowait(k string) {
	g := rcu.ReadLock()
	m.PutFlags(k, 1, gfp.NoWait)
	x := c.Alloc(gfp.NoWait)
	g.Unlock()
	if x != nil {
		c.Free(x)
	}
}

func asks() {
	g := rcu.ReadLock()
	defer g.Unlock()
	rcu.Call(func() {})
	c.FreeRCU(nil)
	go flush()
}

func ranges() {
	m.Range(func(k string, v *int) bool { return m.Put(k, *v+1) })
}
