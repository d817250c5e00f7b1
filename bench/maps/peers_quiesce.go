package main

import (
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// Everything of rcuhash: its rows, and the loops of its ways. A way to look up is
// a name in quiesceMap, a line in ways, and its two loops.

var quiesceMap = peer{
	id: "rcuhash",
	names: []named{
		{wayEach, "rcuhash, ReadLock each"},
		{wayOne, "rcuhash, 1 section"},
	},
	perEntry: [2]int{100, 120}, textBytes: 240,
	uints:   newQuiesce[uint64],
	strings: newQuiesce[string],
	texts:   newQuiesceTexts,
	fixed:   true,
	settle: func() {
		rcu.Barrier()
		page.Default().Shrink()
	},
}

type quiesce[K key] struct{ m *rcuhash.Map[K, uint64] }

func newQuiesce[K key](hint int) (table[K], error) {
	m, err := rcuhash.New[K, uint64](hint)
	return quiesce[K]{m}, err
}

func (t quiesce[K]) ways() []way[K] {
	return []way[K]{
		{wayEach, t.hitEach, t.missEach},
		{wayOne, t.hitOne, t.missOne},
	}
}

func (t quiesce[K]) hitEach(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		g := rcu.ReadLock()
		if v := t.m.Get(g, k); v == nil || *v != vals[i] {
			wrong++
		}
		g.Unlock()
	}
	return wrong
}

func (t quiesce[K]) missEach(ks []K) (wrong int) {
	for _, k := range ks {
		g := rcu.ReadLock()
		if t.m.Get(g, k) != nil {
			wrong++
		}
		g.Unlock()
	}
	return wrong
}

func (t quiesce[K]) hitOne(p probes[K]) (wrong int) {
	vals := p.vals[:len(p.keys)]
	g := rcu.ReadLock()
	for i, k := range p.keys {
		if v := t.m.Get(g, k); v == nil || *v != vals[i] {
			wrong++
		}
	}
	g.Unlock()
	return wrong
}

func (t quiesce[K]) missOne(ks []K) (wrong int) {
	g := rcu.ReadLock()
	for _, k := range ks {
		if t.m.Get(g, k) != nil {
			wrong++
		}
	}
	g.Unlock()
	return wrong
}

func (t quiesce[K]) put(p probes[K]) (refused int) {
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		if !t.m.Put(k, vals[i]) {
			refused++
		}
	}
	return refused
}

func (t quiesce[K]) del(ks []K) {
	for _, k := range ks {
		t.m.Delete(k)
	}
}

func (t quiesce[K]) close() error {
	t.m.Barrier()
	return t.m.Close()
}

// quiesceTexts has values of the one length that is measured.
type quiesceTexts struct {
	m *rcuhash.Map[string, [textValue]byte]
}

func newQuiesceTexts(hint int) (texts, error) {
	m, err := rcuhash.New[string, [textValue]byte](hint)
	return quiesceTexts{m}, err
}

func (t quiesceTexts) put(k string, v []byte) bool { return t.m.Put(k, [textValue]byte(v)) }

func (t quiesceTexts) get(k string, check func(v []byte) bool) (ok bool) {
	rcu.Read(func(g rcu.Guard) {
		v := t.m.Get(g, k)
		ok = v != nil && check(v[:])
	})
	return ok
}

func (t quiesceTexts) close() error { return t.m.Close() }
