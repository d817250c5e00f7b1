package depcheck

// beginTables begins a request that reads the tables, which stay as they are until
// endTables.
//
//go:norace
func (r *request) beginTables() {
	r.begin()
	tables.graph.lock()
}

//go:norace
func (r *request) endTables() {
	tables.graph.unlock()
	r.end()
}

// Order says that a lock of class To was taken while one of class From was
// held.
type Order struct{ From, To string }

// Orders returns the orders that were learned since the last Reset, oldest first.
//
// Context: task; not pinned.
//
//go:norace
func Orders() (orders []Order) {
	if !Enabled() {
		return nil
	}
	var r request
	r.beginTables()
	t := &tables
	for i := 1; i < t.nedges; i++ {
		e := &t.edges[i]
		orders = append(orders, Order{t.classes[e.from].title(), t.classes[e.to].title()})
	}
	r.endTables()
	return orders
}

// Stats are figures about lockdep itself: counts since Enable, and the current
// sizes of its tables.
type Stats struct {
	Acquisitions uint64 // of locks, and with -tags lockdep of sections
	ChainMisses  uint64 // acquisitions whose chain was new
	Reports      uint64 // made
	Suppressed   uint64 // faults found again, or too many to remember

	Classes, Orders, Chains, Stacks, Goroutines int // in use now
}

// ReadStats returns the figures.
//
// Context: any.
//
// Linux: /proc/lockdep_stats.
//
//go:norace
func ReadStats() Stats {
	if !Enabled() {
		return Stats{}
	}
	var r request
	r.beginTables()
	t := &tables
	s := Stats{
		Acquisitions: t.counters.acquired.Load(),
		ChainMisses:  t.counters.chainMisses.Load(),
		Reports:      t.counters.reports.Load(),
		Suppressed:   t.counters.suppressed.Load(),
		Classes:      t.nclasses - 1,
		Orders:       t.nedges - 1,
		Chains:       t.nchains,
		Stacks:       t.nstacks - 1,
		Goroutines:   int(tasks.Load()),
	}
	r.endTables()
	return s
}

// Class is a lock class that was seen since the last Reset.
type Class struct {
	Name  string // as in reports and in Order
	Type  string // lock.Raw, lock.Spin, ...
	Outer WaitType
	Inner WaitType
}

// Classes returns the classes, oldest first, including those of sections.
//
// Context: task; not pinned.
//
// Linux: /proc/lockdep.
//
//go:norace
func Classes() (classes []Class) {
	if !Enabled() {
		return nil
	}
	var r request
	r.beginTables()
	t := &tables
	for i := 1; i < t.nclasses; i++ {
		c := &t.classes[i]
		classes = append(classes, Class{c.title(), c.ty.Name, c.ty.outer(), c.ty.Inner})
	}
	r.endTables()
	return classes
}
