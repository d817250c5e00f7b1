// Package borrow has pointers that outlive their guards, and some that don't.
package borrow

import (
	"bytes"
	"sync"

	"quiesce/cache"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

type session struct {
	user, seen uint64
	next       slab.Pointer[session]
	ids        [4]uint64
}

var (
	m     *rcuhash.Map[string, session]
	texts *rcuhash.Bytes[string]
	hot   *cache.Cache[string, session]
	last  *session
	cur   rcu.Pointer[session]
	head  slab.Pointer[session]
)

func read(k string) uint64 {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	if s == nil {
		return 0
	}
	return s.user // want `pointer used after Unlock of the guard that keeps it valid \(from rcu.ReadLock, line 30\)`
}

func write(k string) {
	g := rcu.ReadLock()
	s := hot.GetGuarded(g, k)
	g.Unlock()
	s.seen = 1 // want `pointer written through after Unlock`
}

func part(k string) uint64 {
	g := rcu.ReadLock()
	ids := m.Get(g, k).ids[:]
	g.Unlock()
	return ids[1] // want `slice used after Unlock`
}

func text(k string) string {
	g := rcu.ReadLock()
	v, ok := texts.Get(g, k)
	g.Unlock()
	if !ok {
		return ""
	}
	return string(v) // want `slice copied after Unlock`
}

func tail(k string) []byte {
	g := rcu.ReadLock()
	defer g.Unlock()
	v, _ := texts.Get(g, k)
	return v[1:] // want `slice returned that is valid only until Unlock of the guard from rcu.ReadLock \(line 64\): return a copy`
}

func find(k string) *session {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	return s // want `pointer returned`
}

type result struct {
	s  *session
	ok bool
}

func wrapped(k string) result {
	g := rcu.ReadLock()
	defer g.Unlock()
	return result{s: m.Get(g, k)} // want `value that holds a pointer returned`
}

func global(k string) {
	g := rcu.ReadLock()
	last = m.Get(g, k) // want `stored in variable last, but valid only until the guard of rcu.ReadLock ends`
	g.Unlock()
}

type view struct{ s *session }

func (v *view) load(k string) {
	g := rcu.ReadLock()
	defer g.Unlock()
	v.s = m.Get(g, k) // want `stored in field s of v, but valid only until`
}

func sent(k string, ch chan *session) {
	g := rcu.ReadLock()
	ch <- m.Get(g, k) // want `sent to a channel, but valid only until`
	g.Unlock()
}

func captured(k string) {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	go func() { println(s.user) }() // want `captured by a goroutine, but valid only until`
	g.Unlock()
}

func passed(k string) {
	g := rcu.ReadLock()
	go show(m.Get(g, k)) // want `passed to a goroutine, but valid only until`
	g.Unlock()
}

func show(s *session) { println(s.user) }

func called(k string) {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	show(s) // want `pointer passed on after Unlock`
}

func second(k string) uint64 {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	h := rcu.ReadLock()
	defer h.Unlock()
	return s.user // want `pointer used after Unlock`
}

func batch(ks []string) (n uint64) {
	vs := make([]*session, len(ks))
	g := rcu.ReadLock()
	m.GetBatch(g, ks, vs)
	g.Unlock()
	for _, s := range vs {
		if s != nil {
			n += s.user // want `pointer used after Unlock`
		}
	}
	return n
}

func linked(k string) uint64 {
	g := rcu.ReadLock()
	next := m.Get(g, k).next.Load()
	g.Unlock()
	return next.user // want `pointer used after Unlock`
}

func goObject() uint64 {
	g := rcu.ReadLock()
	s := cur.Load(g)
	g.Unlock()
	return s.user // want `pointer used after Unlock`
}

func reader(r *rcu.Reader, k string) uint64 {
	g := r.ReadLock()
	s := m.Get(g, k)
	r.Unlock()
	return s.user // want `pointer used after Unlock`
}

func oneBranch(k string, early bool) uint64 {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	if early {
		g.Unlock()
	}
	n := s.user // want `pointer used after Unlock`
	if !early {
		g.Unlock()
	}
	return n
}

// From here on all is right.

func copied(k string) (session, bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if s := m.Get(g, k); s != nil {
		return session{user: s.user}, true
	}
	return session{}, false
}

func present(k string) bool {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	v, _ := texts.Get(g, k)
	g.Unlock()
	return s != nil && len(v) > 0
}

func cloned(k string) []byte {
	g := rcu.ReadLock()
	defer g.Unlock()
	v, _ := texts.Get(g, k)
	return bytes.Clone(v)
}

func appended(k string, to []byte) []byte {
	g := rcu.ReadLock()
	v, _ := texts.Get(g, k)
	to = append(to, v...)
	g.Unlock()
	return to
}

func under(g rcu.Guard, k string) *session { return m.Get(g, k) }

func outer(k string) uint64 {
	g := rcu.ReadLock()
	defer g.Unlock()
	h := rcu.ReadLock()
	s := m.Get(h, k)
	h.Unlock()
	return s.user // the first guard keeps it
}

func locked(mu *sync.Mutex, k string) uint64 {
	mu.Lock()
	defer mu.Unlock()
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	return s.user // nobody else removes it
}

func again(k string) uint64 {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	user := s.user
	g.Unlock()
	work()
	g = rcu.ReadLock()
	s = m.Get(g, k)
	user += s.user
	g.Unlock()
	return user
}

func (v *view) during(k string) uint64 {
	g := rcu.ReadLock()
	v.s = m.Get(g, k)
	n := v.sum()
	v.s = nil
	g.Unlock()
	return n
}

func (v *view) sum() uint64 { return v.s.user }
func work()                 {}

func joined(k string) {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	var wg sync.WaitGroup
	wg.Add(1)
	go func() { defer wg.Done(); println(s.user) }()
	wg.Wait()
	g.Unlock()
}

func answered(k string, ch chan *session, done chan bool) {
	g := rcu.ReadLock()
	ch <- m.Get(g, k)
	<-done
	g.Unlock()
}

func compares(k string) bool {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	g.Unlock()
	h := rcu.ReadLock()
	defer h.Unlock()
	return m.CompareAndDelete(h, k, s)
}

func rounds(ks []string) (n uint64) {
	for _, k := range ks {
		g := rcu.ReadLock()
		s := m.Get(g, k)
		n += s.user
		g.Unlock()
	}
	return n
}

func maybe(k string, keep bool) (n uint64) {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	if !keep {
		g.Unlock()
	}
	work()
	if keep {
		n = s.user
		g.Unlock()
	}
	return n
}

func closing() uint64 {
	g := rcu.ReadLock()
	s := cur.Load(g)
	g.Unlock()
	rcu.Barrier()
	return s.user // a Go object, looked at after its end
}

func token(k string) (*session, rcu.Guard) {
	g := rcu.ReadLock()
	return m.Get(g, k), g
}

func field(k string) result {
	g := rcu.ReadLock()
	defer g.Unlock()
	r := result{s: m.Get(g, k)}
	r.ok = r.s != nil
	r.s = nil
	return r
}

func related(k string, n int) (user uint64) {
	g := rcu.ReadLock()
	s := m.Get(g, k)
	if n > 0 {
		g.Unlock()
	}
	work()
	if n < 1 {
		user = s.user
		g.Unlock()
	}
	return user
}
