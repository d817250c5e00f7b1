// Package nilalloc allocates without waiting.
package nilalloc

import (
	"quiesce/gfp"
	"quiesce/slab"
)

type node struct{ key, value int }

func uses(c *slab.Cache[node]) *node {
	n := c.Alloc(gfp.NoWait)
	n.key = 1 // want `result of Cache.Alloc is used without a look for nil: with these flags the allocation may fail at any time \(line 12\)`
	return n
}

func whole(c *slab.Cache[node]) *node {
	n := c.Alloc(gfp.NoLocks | gfp.Zero)
	*n = node{1, 2} // want `result of Cache.Alloc is used without a look for nil`
	return n
}

func raw() {
	p := (*node)(slab.Kmalloc(16, gfp.Atomic))
	p.key = 1 // want `result of slab.Kmalloc is used without a look for nil`
}

func bulk(c *slab.Cache[node], ns []*node) {
	c.AllocBulk(gfp.NoWait, ns) // want `the count of Cache.AllocBulk is dropped`
}

// From here on all is right.

func checks(c *slab.Cache[node]) *node {
	n := c.Alloc(gfp.NoWait)
	if n == nil {
		return nil
	}
	n.key = 1
	return n
}

func waits(c *slab.Cache[node]) {
	n := c.Alloc(gfp.Kernel)
	n.key = 1
}

func reserved(c *slab.Cache[node]) error {
	if err := c.Reserve(1); err != nil {
		return err
	}
	n := c.Alloc(gfp.NoLocks)
	n.key = 1
	return nil
}

func must(n *node) *node {
	if n == nil {
		panic("no memory")
	}
	return n
}

func helper(c *slab.Cache[node]) {
	n := must(c.Alloc(gfp.NoWait))
	n.key = 1
}

func passes(c *slab.Cache[node]) {
	n := c.Alloc(gfp.NoWait)
	must(n)
	n.key = 1
}

func flags(c *slab.Cache[node], f gfp.Flags) {
	n := c.Alloc(f)
	n.key = 1
}

func counts(c *slab.Cache[node], ns []*node) []*node { return ns[:c.AllocBulk(gfp.NoWait, ns)] }
