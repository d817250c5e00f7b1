package depcheck

// edge records that to was taken while from was held. dep has a bit for each way
// in which that happened: how from was held, and how to was taken.
type edge struct {
	from, to         uint16
	dep              uint8
	heldAt, takenAt  uint16 // the stacks of the first time
	nextFwd, nextBwd uint32 // the lists of from and of to
}

// The ways of an edge. From was held exclusively (E) or shared (S); to was taken
// as a recursive reader (R) or not (N). A wait for a lock can be part of a
// deadlock only if the next goroutine in the circle holds that lock in a way that
// excludes the waiter, and a recursive reader waits for no reader. So two edges
// make a path unless the first one ends as a recursive reader and the second one
// begins as shared. A circle of such steps is strong, and a deadlock
// (Documentation/locking/lockdep-design.rst has the proof).
const (
	depEN = 1 << iota // exclusive, then not recursive
	depER             // exclusive, then a recursive reader
	depSN             // shared, then not recursive
	depSR             // shared, then a recursive reader

	depExclusive    = depEN | depER
	depNotRecursive = depEN | depSN
)

// depOf is the way of an edge between locks that are held and taken so.
//
//go:norace
func depOf(from, to uint8) uint8 {
	switch {
	case from == readNone && to != readRecursive:
		return depEN
	case from == readNone:
		return depER
	case to != readRecursive:
		return depSN
	}
	return depSR
}

// leads returns the state in which a path arrives at to if it is in the given
// state at from, and whether it arrives at all.
//
//go:norace
func (e *edge) leads(restricted uint8) (to uint8, ok bool) {
	dep := e.dep
	if restricted != 0 {
		dep &= depExclusive
	}
	return bit(dep&depNotRecursive == 0), dep != 0
}

// search is a breadth-first search over classes in two states: a class was
// reached by a strong path that may continue with any edge, or by one that may
// continue only in a restricted way. graph protects it.
type search struct {
	stamp uint32
	seen  [2][]uint32 // [restricted][class] stamp of the last search that visited it,
	via   [2][]uint32 // the edge by which, and
	prev  [2][]uint8  // whether from the restricted state
	queue []step
}

// step is a class in a state.
type step struct {
	class      uint16
	restricted uint8
}

//go:norace
func (s *search) init() {
	for i := range 2 {
		s.seen[i] = make([]uint32, maxClasses)
		s.via[i] = make([]uint32, maxClasses)
		s.prev[i] = make([]uint8, maxClasses)
	}
	s.queue = make([]step, 0, 2*maxClasses)
}

// begin starts a search at a class.
//
//go:norace
func (s *search) begin(class uint16, restricted bool) {
	s.stamp++
	s.queue = s.queue[:0]
	s.visit(step{class, bit(restricted)}, 0, 0)
}

// visit queues a step, unless the search was there.
//
//go:norace
func (s *search) visit(st step, via uint32, prev uint8) {
	if s.seen[0][st.class] == s.stamp || s.seen[st.restricted][st.class] == s.stamp {
		return // an unrestricted visit was as good as any
	}
	s.seen[st.restricted][st.class] = s.stamp
	s.via[st.restricted][st.class] = via
	s.prev[st.restricted][st.class] = prev
	s.queue = s.queue[:len(s.queue)+1]
	s.queue[len(s.queue)-1] = st
}

//go:norace
func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// forward visits the classes that were taken while one of st's was held.
// Restricted: st was reached as a recursive reader only.
//
//go:norace
func (s *search) forward(st step) {
	for i := tables.classes[st.class].fwd; i != 0; i = tables.edges[i].nextFwd {
		e := &tables.edges[i]
		if to, ok := e.leads(st.restricted); ok {
			s.visit(step{e.to, to}, i, st.restricted)
		}
	}
}

// backward visits the classes that were held when one of st's was taken.
// Restricted: the path continues from st as shared only.
//
//go:norace
func (s *search) backward(st step) {
	for i := tables.classes[st.class].bwd; i != 0; i = tables.edges[i].nextBwd {
		e := &tables.edges[i]
		dep := e.dep
		if st.restricted != 0 {
			dep &= depNotRecursive
		}
		if dep != 0 {
			s.visit(step{e.from, bit(dep&depExclusive == 0)}, i, st.restricted)
		}
	}
}

// path returns the edges by which the search reached st, in their order.
//
//go:norace
func (s *search) path(st step, forward bool) []uint32 {
	var path []uint32
	for {
		via := s.via[st.restricted][st.class]
		if via == 0 {
			break
		}
		path = append(path, via)
		from := tables.edges[via].from
		if !forward {
			from = tables.edges[via].to
		}
		st = step{from, s.prev[st.restricted][st.class]}
	}
	for i, j := 0, len(path)-1; forward && i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	return path
}

// circle looks for a strong path from next to prev, which the edge from prev
// to next would close.
//
//go:norace
func (s *search) circle(prev, next *held) (st step, found bool) {
	if tables.classes[next.class].fwd == 0 || tables.classes[prev.class].bwd == 0 {
		return step{}, false
	}
	s.begin(next.class, next.read == readRecursive)
	for i := 0; i < len(s.queue); i++ {
		st := s.queue[i]
		if st.class == prev.class && (st.restricted == 0 || prev.read == readNone) {
			return st, true
		}
		s.forward(st)
	}
	return step{}, false
}

// checkOrder checks a lock that is waited for against those that are held, and
// adds the orders that are new. A chain that was seen before needs no check.
// Chains are about classes, so what depends on the lock itself comes first.
//
//go:norace
func (r *request) checkOrder(t *task) {
	if r.h.read == readRecursive && t.reads(r.h.id) {
		return // already held as a reader, so this one does not wait
	}
	key := t.chainWith(&r.h)
	if chainSeen(key) {
		return
	}
	tables.counters.chainMisses.Add(1)
	tables.graph.lock()
	if t.current() {
		if r.checkRecursion(t) {
			r.addEdges(t)
		}
		r.addChainLocked(key)
	}
	tables.graph.unlock()
}

// checkRecursion reports a second lock of a class that is held, in any interrupt
// context. It returns false if no order is to be learned from the acquisition.
//
//go:norace
func (r *request) checkRecursion(t *task) bool {
	h := &r.h
	for i := t.depth - 1; i >= 0; i-- {
		p := t.at(i)
		if p.class != h.class || p.flags&flagSection != 0 {
			continue
		}
		if h.read == readRecursive && p.read != readNone {
			continue
		}
		r.reportRecursion(t, i)
		return false
	}
	return true
}

// addEdges adds edges from the locks that are held to r.h. It stops at the first
// one that was waited for and not as a recursive reader: those below have an edge
// to that one, which is enough.
//
//go:norace
func (r *request) addEdges(t *task) {
	for i := t.depth - 1; i >= 0; i-- {
		p := t.at(i)
		if p.ctx != r.h.ctx {
			break
		}
		if p.flags&flagSection != 0 {
			continue
		}
		if p.class != r.h.class {
			r.addEdge(t, i)
		}
		if p.flags&flagTried == 0 && p.read != readRecursive {
			break
		}
	}
}

// addEdge adds the order of record i before r.h, unless that order is a fault,
// which it reports.
//
//go:norace
func (r *request) addEdge(t *task, i int32) {
	tb := &tables
	p, h := t.at(i), &r.h
	dep := depOf(p.read, h.read)
	from, to := &tb.classes[p.class], &tb.classes[h.class]
	var e *edge
	for n := from.fwd; n != 0; n = tb.edges[n].nextFwd {
		if tb.edges[n].to == h.class {
			e = &tb.edges[n]
			break
		}
	}
	if e != nil && e.dep&dep != 0 {
		return
	}
	if !tb.order.allows(p.class, h.class, dep) {
		if st, found := tb.search.circle(p, h); found {
			r.reportCircle(t, i, st)
			return
		}
	}
	if r.checkIrqOrder(t, i) {
		return
	}
	if e != nil {
		e.dep |= dep
		tb.order.added(p.class, h.class, dep)
		return
	}
	if tb.nedges == maxEdges {
		r.overflow(fullEdges)
		return
	}
	n := uint32(tb.nedges)
	tb.nedges++
	tb.edges[n] = edge{
		from: p.class, to: h.class, dep: dep,
		heldAt: r.internLocked(p.pcs[:p.n]), takenAt: r.internLocked(h.pcs[:h.n]),
		nextFwd: from.fwd, nextBwd: to.bwd,
	}
	from.fwd, to.bwd = n, n
	tb.order.added(p.class, h.class, dep)
	tb.search.joined(p.class, h.class)
}

// chainSeen reports whether the chain's orders are known. It takes no lock: only
// Reset removes keys.
//
//go:norace
func chainSeen(key uint64) bool {
	c := tables.chains
	for i := key % maxChains; ; i = (i + 1) % maxChains {
		switch c[i].Load() {
		case key:
			return true
		case 0:
			return false
		}
	}
}

// addChainLocked remembers a chain.
//
//go:norace
func (r *request) addChainLocked(key uint64) {
	c := tables.chains
	if tables.nchains >= maxChains/4*3 {
		r.overflow(fullChains)
		return
	}
	for i := key % maxChains; ; i = (i + 1) % maxChains {
		switch c[i].Load() {
		case key:
			return
		case 0:
			c[i].Store(key)
			tables.nchains++
			return
		}
	}
}
