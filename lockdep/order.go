package lockdep

import "slices"

// order keeps a number for each class, such that edges go from lower to higher
// ones, as long as that is possible. An order of locks that agrees with the
// numbers closes no circle and needs no search: the difference between an hour
// and a second in a graph of a hundred thousand edges (Pearce and Kelly, A
// Dynamic Topological Sort Algorithm for Directed Acyclic Graphs, 2006). Circles
// that are allowed, of recursive readers, end it. graph is held.
type order struct {
	pos    [maxClasses]uint32
	last   uint32
	broken bool
}

//go:norace
func (o *order) add(class uint16) {
	o.last++
	o.pos[class] = o.last
}

// allows reports whether an edge from a to b can't close a circle.
//
//go:norace
func (o *order) allows(a, b uint16) bool { return !o.broken && o.pos[a] < o.pos[b] }

// added renumbers what lies between b and a, if b is below a, for a new edge
// from a to b.
//
//go:norace
func (o *order) added(a, b uint16) {
	if o.broken || o.pos[a] < o.pos[b] {
		return
	}
	// What b leads to, and what leads to a, between the two: as position and
	// number in one word, so that sorting orders them by position.
	up, circle := o.region(b, a, true)
	if circle {
		o.broken = true
		return
	}
	down, _ := o.region(a, b, false)
	slices.Sort(up)
	slices.Sort(down)
	var places []uint64
	for _, w := range up {
		places = append(places, w>>16)
	}
	for _, w := range down {
		places = append(places, w>>16)
	}
	slices.Sort(places)
	for i, w := range down {
		o.pos[uint16(w)] = uint32(places[i])
	}
	for i, w := range up {
		o.pos[uint16(w)] = uint32(places[len(down)+i])
	}
}

// region finds the classes reachable from the start that lie on the near side
// of the end, and whether the end is one of them.
//
//go:norace
func (o *order) region(start, end uint16, forward bool) (found []uint64, met bool) {
	t := &tables
	s := &t.search
	s.stamp++
	queue := []uint16{start}
	s.seen[0][start] = s.stamp
	for i := 0; i < len(queue); i++ {
		c := queue[i]
		found = append(found, uint64(o.pos[c])<<16|uint64(c))
		e := t.classes[c].fwd
		if !forward {
			e = t.classes[c].bwd
		}
		for e != 0 {
			next, n := t.edges[e].to, t.edges[e].nextFwd
			if !forward {
				next, n = t.edges[e].from, t.edges[e].nextBwd
			}
			e = n
			if next == end {
				met = true
			}
			if s.seen[0][next] != s.stamp && (forward && o.pos[next] < o.pos[end] || !forward && o.pos[next] > o.pos[end]) {
				s.seen[0][next] = s.stamp
				queue = append(queue, next)
			}
		}
	}
	return found, met
}
