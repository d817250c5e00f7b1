// Package gopointers puts Go pointers where the collector does not look.
package gopointers

import (
	"unsafe"

	"quiesce/cache"
	"quiesce/gfp"
	"quiesce/rcuhash"
	"quiesce/slab"
)

type user struct {
	id   int
	name string
}

type node struct {
	key  [16]byte
	next slab.Pointer[node]
	link slab.Link[node]
}

type deep struct{ users [2]struct{ u user } }

var root slab.Pointer[node]
var static node

func caches() error {
	users, err := slab.NewCache[user]("users") // want `slab.NewCache: type user holds a Go pointer in .name \(string\)`
	_ = users
	_, _ = rcuhash.New[string, int](1)
	m, err := rcuhash.New[string, deep](1)                                         // want `rcuhash.New: type deep holds a Go pointer in .users\[\].u.name \(string\)`
	k, err := rcuhash.NewBytes[*int](1)                                            // want `rcuhash.NewBytes: key type \*int holds a Go pointer`
	c, err := cache.New(cache.Options[struct{ s string }, int]{MaxBytes: 1 << 20}) // want `cache.New: key type struct{s string} holds a Go pointer in .s`
	_, _, _ = m, k, c
	return err
}

func links(p *slab.Pointer[node]) {
	p.Store(&node{})                       // want `Pointer is set to a Go object`
	root.Swap(new(node))                   // want `Pointer is set to a Go object`
	p.CompareAndSwap(nil, &static)         // want `Pointer is set to a Go object`
	static.link = slab.MakeLink(new(node)) // want `Link is set to a Go object`
}

func memory() *user {
	return (*user)(slab.Kmalloc(int(unsafe.Sizeof(user{})), gfp.Kernel)) // want `memory of slab.Kmalloc as \*user, which holds a Go pointer \(.name string\)`
}

// From here on all is right.

func fine[T any](p *slab.Pointer[node], c *slab.Cache[node]) error {
	nodes, err := slab.NewCache[node]("nodes")
	some, err := slab.NewCache[T]("what the caller says")
	m, err := rcuhash.New[string, node](1)
	_, _, _ = nodes, some, m
	_, err = slab.NewCache[user]("refused")
	refused(slab.NewCache[user]("refused"))
	n := c.Alloc(gfp.Kernel)
	p.Store(n)
	p.Store(nil)
	_ = (*node)(slab.Kmalloc(64, gfp.Kernel))
	return err
}

func refused(_ *slab.Cache[user], err error) {}
