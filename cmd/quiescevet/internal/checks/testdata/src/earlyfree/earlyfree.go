// Package earlyfree frees what readers may have.
package earlyfree

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/slab"
)

type config struct{ limit int }

var (
	current slab.Pointer[config]
	c       *slab.Cache[config]
)

func limit() int {
	g := rcu.ReadLock()
	defer g.Unlock()
	return current.Load().limit
}

func replace(n *config) {
	old := current.Swap(n)
	c.Free(old) // want `Cache.Free of an object that readers may still have: it was in a slab.Pointer until the Swap; use FreeRCU`
}

func checked(n *config) {
	if old := current.Swap(n); old != nil {
		c.Free(old) // want `Cache.Free of an object that readers may still have`
	}
}

func try(old, n *config) bool {
	if current.CompareAndSwap(old, n) {
		c.Free(old) // want `Cache.Free of an object that readers may still have: it was in a slab.Pointer until the CompareAndSwap`
		return true
	}
	return false
}

func raw(n *config) {
	slab.Kfree(unsafe.Pointer(current.Swap(n))) // want `slab.Kfree of an object that readers may still have`
}

// From here on all is right.

func later(n *config) { c.FreeRCU(current.Swap(n)) }

func waits(n *config) {
	old := current.Swap(n)
	rcu.Synchronize()
	c.Free(old)
}

func waitsElsewhere(n *config, wait func()) {
	old := current.Swap(n)
	wait()
	c.Free(old)
}

func end() { c.Free(current.Swap(nil)) }

func failed(old *config) {
	n := c.Alloc(gfp.Kernel)
	if n == nil {
		return
	}
	if !current.CompareAndSwap(old, n) {
		c.Free(n)
	}
}
