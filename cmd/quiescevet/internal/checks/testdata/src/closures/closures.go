// Package closures has function literals that are lent a guard, or a value.
package closures

import (
	"quiesce/cache"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

type session struct{ user uint64 }

var (
	m    *rcuhash.Map[string, session]
	hot  *cache.Cache[string, session]
	text *cache.Bytes[string]
	kept *session
)

func outlives(k string) uint64 {
	var s *session
	rcu.Read(func(g rcu.Guard) {
		s = m.Get(g, k) // want `stored in variable s, which is used after the guard of rcu.Read has ended \(line 24\)`
	})
	return s.user
}

func named(k string) (v []byte) {
	text.View(k, func(b []byte) {
		v = b // want `stored in variable v, which is used after the guard of Bytes.View has ended`
	})
	return v
}

func collected() []*session {
	var all []*session
	m.Range(func(_ string, s *session) bool {
		all = append(all, s) // want `stored in variable all, which is used after the guard of Map.Range has ended`
		return true
	})
	return all
}

func mapped() map[string]*session {
	all := map[string]*session{}
	m.Range(func(k string, s *session) bool {
		all[k] = s // want `stored in variable all, which is used after`
		return true
	})
	return all
}

func global(k string) {
	hot.View(k, func(s *session) {
		kept = s // want `stored in variable kept, but valid only until`
	})
}

func spawned(k string) {
	hot.View(k, func(s *session) {
		go func() { println(s.user) }() // want `captured by a goroutine`
	})
}

func ends(k string) {
	rcu.Read(func(g rcu.Guard) {
		m.Get(g, k)
		g.Unlock() // want `rcu.Read ends its guard itself when the function returns`
	})
}

// From here on all is right.

func found(k string) (ok bool) {
	var s *session
	rcu.Read(func(g rcu.Guard) { s = m.Get(g, k) })
	return s != nil
}

func copies(k string) (user uint64, v []byte) {
	rcu.Read(func(g rcu.Guard) {
		if s := m.Get(g, k); s != nil {
			user = s.user
		}
	})
	text.View(k, func(b []byte) { v = append(v, b...) })
	return user, v
}

func later(k string) (v []byte) {
	text.View(k, func(b []byte) {
		v = b
		v = append([]byte(nil), v...)
	})
	return v
}

func inside(k string) (n uint64) {
	rcu.Read(func(g rcu.Guard) {
		var s *session
		each(func() { s = m.Get(g, k) })
		n = s.user
	})
	return n
}

func each(fn func()) { fn() }

func within(g rcu.Guard, k string) uint64 {
	var s *session
	each(func() { s = m.Get(g, k) })
	return s.user
}
