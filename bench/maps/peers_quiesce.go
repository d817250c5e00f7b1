package main

import (
	"sync"

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
		{wayReader, "rcuhash, Reader each"},
		{wayOne, "rcuhash, 1 section"},
		{wayBatch, "rcuhash, GetBatch"},
	},
	perEntry: [2]int{100, 120}, textBytes: 240,
	uints:   newQuiesce[uint64],
	strings: newQuiesce[string],
	texts:   newQuiesceTexts,
	settle: func() {
		rcu.Barrier()
		page.Default().Shrink()
	},
}

// quiesceHuge is quiesceMap with its memory in huge pages.
var quiesceHuge = peer{
	id: "huge",
	names: []named{
		{wayEach, " huge pages, ReadLock"},
		{wayReader, " huge pages, Reader"},
		{wayOne, " huge pages, 1 section"},
		{wayBatch, " huge pages, GetBatch"},
	},
	perEntry: quiesceMap.perEntry, textBytes: quiesceMap.textBytes,
	uints:   newQuiesceHuge[uint64],
	strings: newQuiesceHuge[string],
	texts: func(hint int) (texts, error) {
		m, err := rcuhash.NewBytes[string](hint, rcuhash.WithAllocator(hugePages()))
		return quiesceTexts{m}, err
	},
	settle: func() {
		rcu.Barrier()
		hugePages().Shrink()
	},
}

// hugePages is what a program makes that wants its maps in huge pages.
var hugePages = sync.OnceValue(func() *page.Allocator {
	a, err := page.New(page.Config{Name: "huge", Limit: page.AutoLimit(), HugePages: true})
	if err != nil {
		panic(err)
	}
	return a
})

type quiesce[K key] struct{ m *rcuhash.Map[K, uint64] }

func newQuiesce[K key](hint int) (table[K], error) {
	m, err := rcuhash.New[K, uint64](hint)
	return quiesce[K]{m}, err
}

func newQuiesceHuge[K key](hint int) (table[K], error) {
	m, err := rcuhash.New[K, uint64](hint, rcuhash.WithAllocator(hugePages()))
	return quiesce[K]{m}, err
}

func (t quiesce[K]) ways() []way[K] {
	return []way[K]{
		{wayEach, t.hitEach, t.missEach},
		{wayReader, t.hitReader, t.missReader},
		{wayOne, t.hitOne, t.missOne},
		{wayBatch, t.hitBatch, t.missBatch},
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

// readers keeps what a goroutine that reads all the time would have for itself.
var readers = sync.Pool{New: func() any { return rcu.NewReader() }}

func (t quiesce[K]) hitReader(p probes[K]) (wrong int) {
	r := readers.Get().(*rcu.Reader)
	vals := p.vals[:len(p.keys)]
	for i, k := range p.keys {
		g := r.ReadLock()
		if v := t.m.Get(g, k); v == nil || *v != vals[i] {
			wrong++
		}
		r.Unlock()
	}
	readers.Put(r)
	return wrong
}

func (t quiesce[K]) missReader(ks []K) (wrong int) {
	r := readers.Get().(*rcu.Reader)
	for _, k := range ks {
		g := r.ReadLock()
		if t.m.Get(g, k) != nil {
			wrong++
		}
		r.Unlock()
	}
	readers.Put(r)
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

// batch is how many keys GetBatch gets at a time.
const batch = 16

func (t quiesce[K]) hitBatch(p probes[K]) (wrong int) {
	var found [batch]*uint64
	g := rcu.ReadLock()
	for at := 0; at < len(p.keys); at += batch {
		ks := p.keys[at:min(at+batch, len(p.keys))]
		t.m.GetBatch(g, ks, found[:])
		vals := p.vals[at : at+len(ks)]
		for i, v := range found[:len(ks)] {
			if v == nil || *v != vals[i] {
				wrong++
			}
		}
	}
	g.Unlock()
	return wrong
}

func (t quiesce[K]) missBatch(ks []K) (wrong int) {
	var found [batch]*uint64
	g := rcu.ReadLock()
	for at := 0; at < len(ks); at += batch {
		some := ks[at:min(at+batch, len(ks))]
		t.m.GetBatch(g, some, found[:])
		for _, v := range found[:len(some)] {
			if v != nil {
				wrong++
			}
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

type quiesceTexts struct{ m *rcuhash.Bytes[string] }

func newQuiesceTexts(hint int) (texts, error) {
	m, err := rcuhash.NewBytes[string](hint)
	return quiesceTexts{m}, err
}

func (t quiesceTexts) put(k string, v []byte) bool { return t.m.Put(k, v) }

func (t quiesceTexts) get(k string, check func(v []byte) bool) (ok bool) {
	rcu.Read(func(g rcu.Guard) {
		var v []byte
		v, ok = t.m.Get(g, k)
		ok = ok && check(v)
	})
	return ok
}

func (t quiesceTexts) close() error { return t.m.Close() }
