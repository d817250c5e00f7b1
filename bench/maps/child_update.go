package main

import (
	"fmt"
	"runtime"
)

// Works with updates: mixed with look-ups, and alone.

// mixes are shares of updates. The updates are in turn a Put of a key that is
// there, the insertion of one that is not, and the deletion of one that was
// inserted.
var mixes = []struct {
	name  string
	every int // so many operations, of which one is an update
}{{"mixed5", 20}, {"mixed50", 2}}

func (l *looks[K]) updateWorks(t *task, n int) error {
	w := l.t.ways()[0]
	for _, m := range mixes {
		name := fmt.Sprintf("%s.%d", m.name, n)
		if !t.wants(name) {
			continue
		}
		l.fill(n)
		err := t.together(name+"."+w.name, n, func(g int) func() (int, int) {
			next := l.cycle(n, func(from, to int) (wrong int) {
				for i := from; i < to; i += m.every {
					wrong += l.update(g)
					wrong += w.hit(l.there.slice(i, min(i+m.every-1, to)))
				}
				return wrong
			})
			return next(g)
		})
		l.empty(n)
		if err != nil {
			return err
		}
	}
	if name := fmt.Sprintf("put.%d", n); t.wants(name) {
		before := mallocs()
		ops := 0
		err := t.together(name+"."+w.name, n, func(g int) func() (int, int) {
			at := g * len(l.again.keys) / n
			return func() (int, int) {
				if at >= len(l.again.keys) {
					at = 0
				}
				p := l.again.slice(at, min(at+chunk, len(l.again.keys)))
				at += len(p.keys)
				if n == 1 {
					ops += len(p.keys)
				}
				return len(p.keys), l.t.put(p)
			}
		})
		if err != nil {
			return err
		}
		if n == 1 {
			t.figure("allocs.put", float64(mallocs()-before)/float64(ops))
		}
	}
	if t.wants(fmt.Sprintf("insert.%d", n)) {
		return l.turns(t, n)
	}
	return nil
}

// turns measures insertions, and deletions of what was inserted.
func (l *looks[K]) turns(t *task, n int) error {
	var took [2]struct{ insert, del, ops float64 } // of each goroutine
	before := mallocs()
	err := t.together(fmt.Sprintf("turn.%d", n), n, func(g int) func() (int, int) {
		u := &l.updates[g]
		at := 0
		return func() (int, int) {
			if at+u.window > len(u.in.keys) {
				at = 0
			}
			in, out := u.in.slice(at, at+u.window), u.out.slice(at, at+u.window)
			at += u.window
			start := now()
			refused := l.t.put(in)
			middle := now()
			l.t.del(out.keys)
			end := now()
			took[g].insert += max(middle-start, 1) // where the clock is coarse
			took[g].del += max(end-middle, 1)
			took[g].ops += float64(u.window)
			return 2 * u.window, refused
		}
	})
	if err != nil {
		return err
	}
	allocs := mallocs() - before
	insert, del, ops := 0.0, 0.0, 0.0
	for g := range n {
		insert += took[g].ops / took[g].insert
		del += took[g].ops / took[g].del
		ops += took[g].ops
	}
	name := l.t.ways()[0].name
	t.figure(fmt.Sprintf("insert.%d.%s", n, name), 1/insert)
	t.figure(fmt.Sprintf("delete.%d.%s", n, name), 1/del)
	if n == 1 {
		t.figure("allocs.insert", float64(allocs)/ops)
	}
	return nil
}

// fill inserts what the first deletions of a mixed work delete.
func (l *looks[K]) fill(n int) {
	for g := range n {
		u := &l.updates[g]
		l.t.put(u.in.slice(0, u.window))
		u.inserted, u.turn = u.window, 0
	}
}

// empty deletes what a mixed work left.
func (l *looks[K]) empty(n int) {
	for g := range n {
		l.t.del(l.updates[g].out.keys)
	}
}

// update is goroutine g's next one.
func (l *looks[K]) update(g int) (refused int) {
	u := &l.updates[g]
	u.turn++
	switch u.turn % 3 {
	case 0:
		at := (u.inserted*7 + g) % len(l.again.keys)
		return l.t.put(l.again.slice(at, at+1))
	case 1:
		at := u.inserted % len(u.in.keys)
		u.inserted++
		return l.t.put(u.in.slice(at, at+1))
	}
	at := (u.inserted - 1 - u.window) % len(u.out.keys)
	l.t.del(u.out.keys[at : at+1])
	return 0
}

// mallocs is how many objects were allocated on the Go heap.
func mallocs() uint64 {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.Mallocs
}
