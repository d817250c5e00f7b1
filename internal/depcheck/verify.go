package depcheck

import "fmt"

// Verify checks what is kept about the graph against the graph itself: the
// numbers of nodes, and the sums of usage bits. It is for tests, which must not use
// lockdep at the same time.
func Verify() error {
	t := &tables
	type sums struct{ safe, open uint32 }
	want := make([]sums, t.nclasses)
	for changed := true; changed; {
		changed = false
		for i := 1; i < t.nedges; i++ {
			e := &t.edges[i]
			from, to := &t.classes[e.from], &t.classes[e.to]
			a, b := &want[e.from], &want[e.to]
			if from.ty.Kind == Normal {
				in := b.safe | a.safe | from.usage.Load()&usedIn
				changed = changed || in != b.safe
				b.safe = in
			}
			if to.ty.Kind == Normal {
				on := a.open | b.open | to.usage.Load()&usedOn
				changed = changed || on != a.open
				a.open = on
			}
		}
	}
	for i := 1; i < t.nclasses; i++ {
		if c := &t.classes[i]; (sums{c.safe, c.open}) != want[i] {
			return fmt.Errorf("%s sums up %#x, %#x; it is %#x", c.title(), c.safe, c.open, want[i])
		}
	}
	places := map[uint32]bool{}
	for i := 1; i < t.nclasses; i++ {
		for s := range uint8(2) {
			if pos := t.order.pos[nodeOf(uint16(i), s)]; pos == 0 || places[pos] {
				return fmt.Errorf("number %d belongs to no node or to two", pos)
			} else {
				places[pos] = true
			}
		}
	}
	for i := 1; i < t.nedges; i++ {
		e := &t.edges[i]
		for s := range uint8(2) {
			if to, ok := e.leads(s); ok && t.order.pos[nodeOf(e.from, s)] >= t.order.pos[nodeOf(e.to, to)] {
				return fmt.Errorf("%s (%d) is not numbered below %s (%d)", t.classes[e.from].title(), s, t.classes[e.to].title(), to)
			}
		}
	}
	return nil
}
