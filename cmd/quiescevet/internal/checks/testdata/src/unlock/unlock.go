// Package unlock has guards that are ended, and guards that are not.
package unlock

import (
	"errors"
	"os"

	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

var m *rcuhash.Map[string, int]

func onePath(k string) (int, error) {
	g := rcu.ReadLock() // want `guard from rcu.ReadLock is not ended on the path that returns at line 19: call Unlock`
	p := m.Get(g, k)
	if p == nil {
		return 0, errors.New("absent")
	}
	v := *p
	g.Unlock()
	return v, nil
}

func never(k string) bool {
	g := rcu.ReadLock() // want `guard from rcu.ReadLock is not ended on a path to the return`
	return m.Get(g, k) != nil
}

func dropped() {
	rcu.ReadLock() // want `guard from rcu.ReadLock is not ended`
}

func twice(k string) {
	g := rcu.ReadLock()
	if m.Get(g, k) == nil {
		g.Unlock()
	}
	g.Unlock() // want `guard from rcu.ReadLock \(line 36\) is ended twice`
}

func twiceDeferred(k string) bool {
	g := rcu.ReadLock()
	defer g.Unlock() // want `deferred Unlock ends the guard from rcu.ReadLock \(line 44\) a second time`
	found := m.Get(g, k) != nil
	g.Unlock()
	return found
}

func copies() {
	g := rcu.ReadLock()
	h := g
	g.Unlock()
	h.Unlock() // want `guard from rcu.ReadLock \(line 52\) is ended twice`
}

func loop(ks []string) (n int) {
	for _, k := range ks {
		g := rcu.ReadLock()
		defer g.Unlock() // want `deferred Unlock in a loop runs when the function returns`
		if m.Get(g, k) != nil {
			n++
		}
	}
	return n
}

func skips(ks []string) (n int) {
	for _, k := range ks {
		g := rcu.ReadLock() // want `guard from rcu.ReadLock is not ended before the next one begins here`
		if m.Get(g, k) == nil {
			continue
		}
		n++
		g.Unlock()
	}
	return n
}

func reader(r *rcu.Reader, k string) (int, bool) {
	g := r.ReadLock() // want `guard from Reader.ReadLock is not ended on the path that returns at line 85`
	p := m.Get(g, k)
	if p == nil {
		return 0, false
	}
	v := *p
	r.Unlock()
	return v, true
}

func pins(full bool) bool {
	p := preempt.Disable() // want `pinned section from preempt.Disable is not ended on the path that returns at line 95: call Enable`
	if full {
		return false
	}
	p.Enable()
	return true
}

func bh() {
	g := rcu.ReadLockBH()
	g.Unlock()
	g.Unlock() // want `guard from rcu.ReadLockBH \(line 102\) is ended twice`
}

func pinsFor() int {
	p := preempt.Disable() // want `pinned section from preempt.Disable is not ended on a path`
	_ = p
	return 1
}

func mayKeep(k string) *int {
	g := rcu.ReadLock() // want `guard from rcu.ReadLock is not ended on a path`
	return m.Get(g, k)
}

// From here on all is right.

func deferred(k string) (int, error) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if p := m.Get(g, k); p != nil {
		return *p, nil
	}
	return 0, errors.New("absent")
}

func deferredLiteral(k string) bool {
	g := rcu.ReadLock()
	defer func() { g.Unlock() }()
	return m.Get(g, k) != nil
}

func sameCondition(locked bool, k string) (n int) {
	var g rcu.Guard
	if !locked {
		g = rcu.ReadLock()
	}
	for range 3 {
		n++
	}
	if !locked {
		g.Unlock()
	}
	return n
}

type options struct{ guarded bool }

func sameField(o *options) {
	var g rcu.Guard
	if o.guarded {
		g = rcu.ReadLock()
	}
	work()
	if o.guarded {
		g.Unlock()
	}
}

func flag(n int) {
	var g rcu.Guard
	held := false
	if n > 3 {
		g, held = rcu.ReadLock(), true
	}
	work()
	if held {
		g.Unlock()
	}
}

func work() {}

func begin() rcu.Guard { return rcu.ReadLock() }

type section struct {
	g rcu.Guard
	n int
}

func (s *section) enter() { s.g = rcu.ReadLock() }
func (s *section) leave() { s.g.Unlock() }
func newSection() section { return section{g: rcu.ReadLock(), n: 1} }
func enterReader(r *rcu.Reader) {
	r.ReadLock()
}

func handsOver(k string) {
	g := rcu.ReadLock()
	finish(g, k)
}

func finish(g rcu.Guard, k string) {
	m.Get(g, k)
	g.Unlock()
}

func passesOn(k string) bool {
	g := rcu.ReadLock() // want `guard from rcu.ReadLock is not ended on a path`
	return has(g, k)
}

func has(g rcu.Guard, k string) bool { return m.Get(g, k) != nil }

func renews(ks []string) {
	g := rcu.ReadLock()
	for i, k := range ks {
		if i%100 == 99 {
			g.Unlock()
			g = rcu.ReadLock()
		}
		m.Get(g, k)
	}
	g.Unlock()
}

func overlaps(stop func() bool) {
	g := rcu.ReadLock()
	for !stop() {
		h := rcu.ReadLock()
		g.Unlock()
		g = h
	}
	g.Unlock()
}

func many(n int) {
	var gs []rcu.Guard
	for range n {
		gs = append(gs, rcu.ReadLock())
	}
	for i := range gs {
		gs[i].Unlock()
	}
}

func ends() {
	g := rcu.ReadLock()
	if m == nil {
		os.Exit(1)
	}
	if m.Len() < 0 {
		panic("negative")
	}
	g.Unlock()
}

func inGoroutine(done chan bool) {
	g := rcu.ReadLock()
	go func() {
		<-done
		g.Unlock()
	}()
}

func walks(k string) bool {
	g := rcu.ReadLock()
	for key := range m.All(g) {
		if key == k {
			g.Unlock()
			return true
		}
	}
	g.Unlock()
	return false
}

func nests(r *rcu.Reader) {
	r.ReadLock()
	r.ReadLock()
	r.Unlock()
	r.Unlock()
}

func switches(n int) {
	g := rcu.ReadLock()
	switch {
	case n < 3:
		g.Unlock()
	case n < 5:
		work()
		g.Unlock()
	default:
		g.Unlock()
	}
}

func literals() {
	unlock := func(g *rcu.Guard) { g.Unlock() }
	g := rcu.ReadLock()
	unlock(&g)
	h := rcu.ReadLock()
	end := h.Unlock
	end()
}

func recovers() {
	g := rcu.ReadLock()
	g.Unlock()
	defer func() { recover() }()
	g.Unlock()
}

func everyFew(n int) {
	var g rcu.Guard
	for i := range n {
		if i%64 == 0 {
			if i > 0 {
				g.Unlock()
			}
			g = rcu.ReadLock()
		}
		work()
	}
	if n > 0 {
		g.Unlock()
	}
}

func related(n int) {
	g := rcu.ReadLock()
	if n > 0 {
		g.Unlock()
	}
	work()
	if n < 1 {
		g.Unlock()
	}
}
