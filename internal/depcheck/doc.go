// Package depcheck is the engine of package lockdep, and the hooks by which the
// library's packages report to it. Programs use package lockdep, whose
// documentation has the words and the rules; the library's packages use this one.
//
// # Terms
//
// An edge is an order: a lock of its second class was taken while one of its
// first class was held. A chain is the list of classes that a goroutine holds in
// one interrupt context. A section is a read-side or pinned section, which counts
// for contexts and not for orders. A record (held) is one lock or section that a
// goroutine holds or waits for; a task is the list of a goroutine's records, and
// its contexts.
//
// # Orders
//
// Taking B while holding A makes an edge from A's class to B's. A search from B
// that finds A is a circle. Edges say how A was held (exclusive, shared) and how B
// was taken (as a recursive reader or not), and only strong paths count: see
// graph.go. Edges start at the locks held since the last one that was waited for
// without being a recursive reader; older ones reach B by way of that one. A
// TryLock makes no edge to its lock, because it does not wait. Orders are numbered
// so that most new edges need no search: see order.go.
//
// A chain that was seen is known to be right, so the common acquisition is a walk
// over the held locks, a hash, and one lookup in a table without a lock.
//
// # Interrupts
//
// Each class has a bit for "taken in a handler" and one for "held with interrupts
// on", for both kinds of interrupts and for writers and readers. A new bit
// searches the classes that follow an irq-safe class for an irq-unsafe one, or
// those that lead to an irq-unsafe class for an irq-safe one. A new edge searches
// both ways. See irq.go.
//
// # Pinned goroutines
//
// A goroutine that is pinned by a section without a record is recognised by the
// P's own word (percpu.CPU.Nest), less the levels that records represent.
//
// # Who owns what
//
//	task                 its goroutine, under task.mu; another one, under task.mu, to
//	                     end a section that was handed to it
//	a shard's list       shard.mu
//	classes, edges, …    graph; usage bits and chains are read without it
//	Map                  atomics: two goroutines that find its class write the same number
//
//	shard.mu
//	  task.mu
//	    graph
//
// All three spin. They are held pinned, for a bounded time, and never while a
// report is delivered, so that every hook may be called in any context. Nothing
// here is visible to the race detector (functions are go:norace, atomics are
// hidden by request.begin): it must not take lockdep's locks for an order among
// its users.
//
// Goroutines are identified by their number in Go's traces, and locks by a serial
// number, because stacks move and memory is reused. So a record never keeps a lock
// from the garbage collector, and a lock that is gone leaves nothing but its
// class.
//
// # Reports
//
// Each distinct fault is reported once, by its kind and classes or its kind and
// place. Under locks only numbers and names are copied. The text is made after all
// locks are released, and the reporter runs unpinned: on a goroutine of its own if
// need be, for which the pinned one waits up to 20 ms.
//
// # Bounds
//
// The tables are bounded: see tables.go. A table that is full is reported once,
// and what would need more room goes unchecked.
//
// # Cost
//
// While lockdep is off: a load and a predicted branch for each acquisition, each
// context and each allocation that leaves its fast path. Readers and fast paths
// pay nothing, because their hooks depend on the constant Tagged.
package depcheck
