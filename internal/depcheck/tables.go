package depcheck

import (
	"sync/atomic"

	"quiesce/internal/sys"
)

// The sizes of the tables. A table that is full is reported once; what would need
// another entry goes unchecked from then on. The sizes have the kernel's orders of
// magnitude and are untuned.
const (
	maxClasses = 1 << 13 // class 0 is not used
	maxEdges   = 1 << 17
	maxChains  = 1 << 17 // words; used to three quarters
	maxStacks  = 1 << 14
	maxFaults  = 1 << 12 // distinct faults that are reported
	maxTasks   = 1 << 16 // goroutines that hold something at the same time
	maxHeld    = 48      // locks and sections of one goroutine; the kernel's MAX_LOCK_DEPTH
	stackDepth = 16
)

// tables is everything that all goroutines share. graph protects what is not
// atomic. Enable makes the tables, 8 MiB, and they are never freed.
var tables struct {
	graph   spin
	gen     atomic.Uint32 // counts Resets, from 1
	firstID atomic.Uint64 // serial at the last Reset: older sections are not known

	classes  []class // by number
	nclasses int
	byName   []uint16 // hash table of class numbers

	edges  []edge
	nedges int

	chains   []atomic.Uint64 // hash set of keys; lookups take no lock
	nchains  int
	order    order
	irqUsed  bool // some class was taken in an interrupt handler
	search   search
	stacks   []stack
	nstacks  int
	byStack  []uint16 // hash table of stack numbers
	faults   []uint64 // hash set of what was reported
	nfaults  int
	full     atomic.Uint32 // a bit for each table whose overflow was reported
	counters counters
}

type counters struct {
	acquired, chainMisses, reports, suppressed atomic.Uint64
}

// serial numbers locks and sections, because addresses move with stacks and are
// reused.
var serial atomic.Uint64

//go:norace
func setUp() {
	t := &tables
	if t.classes != nil {
		return
	}
	t.classes = make([]class, maxClasses)
	for i := range t.classes {
		t.classes[i].label = noLabel
	}
	t.byName = make([]uint16, 2*maxClasses)
	t.edges = make([]edge, maxEdges)
	t.chains = make([]atomic.Uint64, maxChains)
	t.search.init()
	t.stacks = make([]stack, maxStacks)
	t.byStack = make([]uint16, 2*maxStacks)
	t.faults = make([]uint64, 2*maxFaults)
	t.nclasses, t.nedges, t.nstacks = 1, 1, 1
	t.gen.Store(1)
}

// Reset forgets all classes, orders, held locks and reported faults, but not which
// contexts goroutines are in. No goroutine should hold a lock during the call,
// because it would be forgotten too.
//
// Context: task; not pinned.
//
// Linux: lockdep_reset.
//
//go:norace
func Reset() {
	if !Enabled() {
		return
	}
	var r request
	r.begin()
	resetTables()
	forgetTasks()
	r.end()
}

//go:norace
func resetTables() {
	t := &tables
	t.graph.lock()
	t.gen.Store(t.gen.Load()%(1<<30) + 1)
	t.firstID.Store(serial.Load())
	for i := range t.nclasses {
		t.classes[i] = class{label: noLabel}
	}
	clear(t.byName)
	clear(t.edges[:t.nedges])
	for i := range t.chains {
		if t.chains[i].Load() != 0 {
			t.chains[i].Store(0)
		}
	}
	clear(t.stacks[:t.nstacks])
	clear(t.byStack)
	clear(t.faults)
	t.nclasses, t.nedges, t.nstacks = 1, 1, 1
	t.nchains, t.nfaults, t.irqUsed = 0, 0, false
	t.full.Store(0)
	t.order = order{}
	t.graph.unlock()
}

// spin protects lockdep's own data. Its holders are pinned and hold it for a
// bounded time, so that it can be waited for in any context.
type spin struct{ held atomic.Uint32 }

//go:norace
func (s *spin) lock() {
	for i := 0; !s.held.CompareAndSwap(0, 1); i++ {
		sys.Relax(i)
	}
}

//go:norace
func (s *spin) unlock() { s.held.Store(0) }

// mix spreads the bits of a hash (the finalizer of splitmix64).
func mix(h uint64) uint64 {
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}
