// Package earlyfree frees what readers may have.
package earlyfree

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/rcuhash"
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

type session struct {
	next slab.Pointer[session]
	seen uint64
}

type server struct {
	first  slab.Pointer[session]
	byName *rcuhash.Map[string, slab.Link[session]]
	c      *slab.Cache[session]
	errs   chan error
}

func (s *server) expire(now uint64) bool {
	g := rcu.ReadLock()
	defer g.Unlock()
	o := s.first.Load()
	if o == nil || o.seen > now {
		return false
	}
	s.c.Free(o) // want `Cache.Free of an object that readers may still have: Pointer.Load found it under a guard, and nothing unlinked it since; unlink it, then use FreeRCU`
	return true
}

func (s *server) expireAfter(now uint64) {
	g := rcu.ReadLock()
	o := s.first.Load()
	g.Unlock()
	slab.Kfree(unsafe.Pointer(o)) // want `slab.Kfree of an object that readers may still have: Pointer.Load found it under a guard, and nothing unlinked it since; unlink it, then use KfreeRCU`
}

func (s *server) expireNamed(name string) {
	g := rcu.ReadLock()
	if v := s.byName.Get(g, name); v != nil {
		s.c.Free(v.Get()) // want `Cache.Free of an object that readers may still have: Link.Get found it under a guard`
	}
	g.Unlock()
	s.byName.Delete(name) // too late
}

func (s *server) expireSecond(r *rcu.Reader) {
	r.ReadLock()
	if first := s.first.Load(); first != nil {
		s.c.Free(first.next.Load()) // want `Cache.Free of an object that readers may still have: Pointer.Load found it under a guard`
	}
	r.Unlock()
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

func (s *server) unlinked(name string) {
	g := rcu.ReadLock()
	var o *session
	if v := s.byName.Get(g, name); v != nil {
		o = v.Get()
	}
	s.byName.Delete(name)
	g.Unlock()
	rcu.Synchronize()
	s.c.Free(o)
}

func (s *server) deleted(name string) {
	g := rcu.ReadLock()
	o := s.byName.Get(g, name).Get()
	g.Unlock()
	s.byName.Delete(name)
	rcu.Synchronize()
	s.c.Free(o)
}

func (s *server) taken(name string) {
	g := rcu.ReadLock()
	o := s.byName.LoadAndDelete(g, name).Get()
	g.Unlock()
	rcu.Synchronize()
	s.c.Free(o)
}

func (s *server) swapped() {
	g := rcu.ReadLock()
	o := s.first.Load()
	ok := s.first.CompareAndSwap(o, nil)
	g.Unlock()
	if ok {
		rcu.Synchronize()
		s.c.Free(o)
	}
}

func (s *server) stored() {
	g := rcu.ReadLock()
	o := s.first.Load()
	n := o.next.Load()
	g.Unlock()
	s.first.Store(n)
	s.c.Free(o)
}

func (s *server) reclaimed() {
	g := rcu.ReadLock()
	o := s.first.Load()
	g.Unlock()
	s.c.FreeRCU(o)
}

// From here on the check is not sure.

func (s *server) elsewhere(unlink func()) {
	g := rcu.ReadLock()
	o := s.first.Load()
	g.Unlock()
	unlink()
	s.c.Free(o)
}

func (s *server) passed() {
	g := rcu.ReadLock()
	o := s.first.Load()
	g.Unlock()
	if s.remove(o) {
		s.c.Free(o)
	}
}

func (s *server) remove(o *session) bool { return s.first.CompareAndSwap(o, nil) }

func (s *server) passedLater() {
	g := rcu.ReadLock()
	defer g.Unlock()
	o := s.first.Load()
	defer s.remove(o)
	s.c.Free(o)
}

func (s *server) takenNow(name string) {
	g := rcu.ReadLock()
	s.c.Free(s.byName.LoadAndDelete(g, name).Get())
	g.Unlock()
}

func (s *server) oneOf(second bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	o := s.first.Load()
	if second {
		o = o.next.Load()
	}
	s.c.Free(o)
}

func (s *server) inClosure() {
	g := rcu.ReadLock()
	defer g.Unlock()
	o := s.first.Load()
	func() { s.c.Free(o) }()
}

func (s *server) guarded(g rcu.Guard, name string) {
	s.c.Free(s.byName.Get(g, name).Get())
}

func (s *server) unguarded() {
	g := rcu.ReadLock()
	g.Unlock()
	s.c.Free(s.first.Load())
}

func (s *server) waitsForOthers() {
	g := rcu.ReadLock()
	o := s.first.Load()
	g.Unlock()
	if err := <-s.errs; err == nil {
		s.c.Free(o)
	}
}

func (s *server) Close() {
	g := rcu.ReadLock()
	s.c.Free(s.first.Load())
	g.Unlock()
}

func (s *server) end() error {
	g := rcu.ReadLock()
	s.c.Free(s.first.Load())
	g.Unlock()
	return s.c.Close()
}

func ofItsOwn(n *session) {
	var first slab.Pointer[session]
	first.Store(n)
	g := rcu.ReadLock()
	sessions.Free(first.Load())
	g.Unlock()
}

var sessions *slab.Cache[session]
