package depcheck

import "slices"

// order keeps a number for each class in each of its two states (see search), so
// that strong paths go from lower to higher numbers. This is a topological order,
// because an edge that would close a strong circle is reported and not added. An
// order of locks that agrees with the numbers closes no circle and needs no
// search: the difference between an hour and a second in a graph of a hundred
// thousand edges (Pearce and Kelly, A Dynamic Topological Sort Algorithm for
// Directed Acyclic Graphs, 2006). graph protects it.
type order struct {
	pos  [2 * maxClasses]uint32 // by node
	last uint32
}

// node is a class in a state: 2*class, plus 1 if restricted.
type node uint16

//go:norace
func nodeOf(class uint16, restricted uint8) node { return node(class)<<1 | node(restricted) }

// add numbers a new class.
//
//go:norace
func (o *order) add(class uint16) {
	o.pos[nodeOf(class, 0)] = o.last + 1
	o.pos[nodeOf(class, 1)] = o.last + 2
	o.last += 2
}

// allows reports whether the numbers prove that an edge of that way from a to b
// closes no circle.
//
//go:norace
func (o *order) allows(a, b uint16, dep uint8) bool {
	to := o.pos[nodeOf(b, bit(dep&depNotRecursive == 0))]
	return o.pos[nodeOf(a, 0)] < to && (dep&depExclusive == 0 || o.pos[nodeOf(a, 1)] < to)
}

// added renumbers for a new edge, or a new way of an edge, from a to b.
//
//go:norace
func (o *order) added(a, b uint16, dep uint8) {
	to := nodeOf(b, bit(dep&depNotRecursive == 0))
	o.before(nodeOf(a, 0), to)
	if dep&depExclusive != 0 {
		o.before(nodeOf(a, 1), to)
	}
}

// before makes a's number lower than b's. If it is not, it renumbers what lies
// between the two.
//
//go:norace
func (o *order) before(a, b node) {
	if o.pos[a] < o.pos[b] {
		return
	}
	// What b leads to, and what leads to a, between the two. Position and node
	// are in one word, so that sorting orders them by position.
	up, down := o.region(b, a, true), o.region(a, b, false)
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

// region finds the nodes that the start reaches and that are numbered between it
// and the end.
//
//go:norace
func (o *order) region(start, end node, forward bool) (found []uint64) {
	s := &tables.search
	s.stamp++
	near := func(n node) {
		if seen := &s.seen[n&1][n>>1]; *seen != s.stamp && (n == start || forward && o.pos[n] < o.pos[end] || !forward && o.pos[n] > o.pos[end]) {
			*seen = s.stamp
			found = append(found, uint64(o.pos[n])<<16|uint64(n))
		}
	}
	near(start)
	for i := 0; i < len(found); i++ {
		n := node(found[i])
		class, restricted := uint16(n>>1), uint8(n&1)
		if forward {
			for e := tables.classes[class].fwd; e != 0; e = tables.edges[e].nextFwd {
				if to, ok := tables.edges[e].leads(restricted); ok {
					near(nodeOf(tables.edges[e].to, to))
				}
			}
			continue
		}
		for e := tables.classes[class].bwd; e != 0; e = tables.edges[e].nextBwd {
			for from := range uint8(2) {
				if to, ok := tables.edges[e].leads(from); ok && to == restricted {
					near(nodeOf(tables.edges[e].from, from))
				}
			}
		}
	}
	return found
}
