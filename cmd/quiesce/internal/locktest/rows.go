package locktest

import (
	"strings"

	"quiesce/lockdep"
)

// section is a table: rows of one verdict for each column.
type section struct {
	title   string
	columns []string
	rows    []row
}

// row is one test for each column that has a letter in verdicts (doc.go).
type row struct {
	name     string
	verdicts string
	kind     string            // of the report
	kinds    map[string]string // the same by column, where they differ
	script   string            // or
	body     func(b *bench)

	// For scripts that are about interrupts.
	permute bool     // in every order of the events
	last    []string // kind, by the event that comes last
	soft    bool     // irq and off are those of softirqs

	order []int // of the events; nil: as written
}

func (r *row) events() []string {
	events := strings.Split(r.script, ";")
	if r.order == nil {
		return events
	}
	var ordered []string
	for _, i := range r.order {
		ordered = append(ordered, events[i])
	}
	return ordered
}

const (
	circular  = lockdep.Circular
	recursion = lockdep.Recursion
	state     = lockdep.InconsistentState
	inversion = lockdep.IrqInversion
	order     = lockdep.UnsafeOrder
	balance   = lockdep.UnlockBalance
	wait      = lockdep.InvalidWaitContext
	sleeping  = lockdep.Sleeping
	rcuUsage  = lockdep.SuspiciousRCU
	stillHeld = lockdep.StillHeld
	heldInit  = lockdep.HeldLockInit
)

// sections are all tables, in the order in which they are shown.
func sections() []section {
	return []section{
		{"Wait context tests", []string{"rcu", "raw", "spin", "mutex"}, matrix()},
		{"Other wait contexts", []string{"verdict"}, waits},
		{"Deadlocks, and misuse of one lock", []string{"raw", "spin", "wlock", "rlock", "qread", "mutex"}, deadlocks},
		{"Readers and writers", []string{"rlock", "qread"}, expand(mixed)},
		{"Subclasses (LockNested)", []string{"raw", "spin", "wlock", "mutex"}, nested},
		{"TryLock", []string{"raw", "spin", "wlock", "rlock", "qread", "mutex"}, tries},
		{"Interrupts", []string{"raw", "spin", "wlock", "rlock", "qread"}, expand(irqs)},
		{"LockIRQ", []string{"raw", "spin", "wlock", "qread"}, lockIRQs},
		{"lock.Local", []string{"verdict"}, locals},
		{"Sleeping and allocation", []string{"sleep", "Kernel", "Atomic", "NoWait", "NoLocks"}, sleeps()},
		{"RCU, and what is left at the end", []string{"verdict"}, rcuRows},
	}
}

// matrix is the kernel's: contexts, and what may be taken in them.
func matrix() (rows []row) {
	taken := map[string]string{"rcu": "rcu{ }", "raw": "P:B", "spin": "S:B", "mutex": "M:B"}
	for _, c := range []struct{ name, outer, verdicts string }{
		{"hardirq (threadable)", "threaded{ %s }", "...x"},
		{"hardirq (not threaded)", "hardirq{ %s }", "..nx"},
		{"softirq", "softirq{ %s }", "...x"},
		{"rcu_read_lock", "rcu{ %s }", "...t"},
		{"rcu_read_lock_bh", "rcubh{ %s }", "...t"},
		{"rcu_read_lock_sched", "sched{ %s }", "..nx"},
		{"raw_spinlock_t", "P:A %s", "..nx"},
		{"spinlock_t", "S:A %s", "...x"},
		{"mutex", "M:A %s", "...."},
	} {
		rows = append(rows, row{name: c.name, verdicts: c.verdicts, kind: wait, body: func(b *bench) {
			b.run([]string{strings.Replace(c.outer, "%s", taken[b.column], 1)})
		}})
	}
	return rows
}

var waits = []row{
	{name: "spin under raw, by TryLock", verdicts: ".", script: "P:A S:B?"},
	{name: "mutex under spin, by TryLock", verdicts: ".", script: "S:A M:B?"},
	{name: "spin under raw got by TryLock", verdicts: "n", kind: wait, script: "P:A? S:B"},
	{name: "mutex under spin got by TryLock", verdicts: "x", kind: wait, script: "S:A? M:B"},
	{name: "write lock under raw", verdicts: "n", kind: wait, script: "P:A W:B"},
	{name: "read lock under raw", verdicts: "n", kind: wait, script: "P:A Q:B"},
	{name: "mutex under a read lock", verdicts: "x", kind: wait, script: "R:A M:B"},
	{name: "spin with interrupts off", verdicts: "n", kind: wait, script: "irqoff{ S:A }"},
	{name: "spin with LockIRQ of a spin held", verdicts: ".", script: "S:A^ S:B"},
	{name: "spin with LockIRQ of a raw held", verdicts: "n", kind: wait, script: "P:A^ S:B"},
	{name: "spin in rcu_read_lock under raw", verdicts: "n", kind: wait, script: "P:A rcu{ S:B }"},
	{name: "spin under raw, with a mutex held", verdicts: "n", kind: wait, script: "M:A P:B S:C"},
	{name: "spin after raw was released", verdicts: ".", script: "M:A P:B -P:B S:C"},
	{name: "spin after raw, out of order", verdicts: ".", script: "P:A P:B -P:A -P:B S:C"},
	{name: "handler under a mutex: spin", verdicts: ".", script: "M:A threaded{ S:B }"},
	{name: "handler under a mutex: mutex", verdicts: "x", kind: wait, script: "M:A threaded{ M:B }"},
	{name: "softirqs off: spin", verdicts: ".", script: "bhoff{ S:A }"},
	{name: "softirqs off: mutex", verdicts: "x", kind: wait, script: "bhoff{ M:A }"},
}

var deadlocks = []row{
	{name: "A-A deadlock", verdicts: "xxx.xx", kind: recursion, script: "A A'"},
	{name: "A-B-A deadlock", verdicts: "xxx.xx", kind: recursion, script: "A B A'"},
	{name: "A-B-B-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; B A"},
	{name: "A-B-B-C-C-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; B C ; C A"},
	{name: "A-B-C-A-B-C deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; C A ; B C"},
	{name: "A-B-B-C-C-D-D-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; B C ; C D ; D A"},
	{name: "A-B-C-D-B-D-D-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; C D ; B D ; D A"},
	{name: "A-B-C-D-B-C-D-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B ; C D ; B C ; D A"},
	{name: "A-B-C C-D-E E-F-G G-A deadlock", verdicts: "xxx.xx", kind: circular, script: "A B C ; C D E ; E F G ; G A"},
	{name: "circle of eight", verdicts: "xxx.xx", kind: circular, script: "A B ; C D ; E F ; G H ; H A ; F G ; B C ; D E"},
	{name: "A-B, released early, B-A", verdicts: "......", script: "A -A B -B ; B A"},
	{name: "A-B, A-C, B-C, always in order", verdicts: "......", script: "A B ; A C ; B C ; A B C ; A -A C"},
	{name: "A-B, A released, B-C, C-A", verdicts: "xxx.xx", kind: circular, script: "A B -A C ; C A"},
	{name: "double unlock", verdicts: "xxxxxx", kind: balance, script: "A -A -A"},
	{name: "unlock in another order", verdicts: "......", script: "A B C -A -C -B"},
	{name: "initialize held", verdicts: "xxxxxx", kind: heldInit, script: "A init:A"},
	{name: "initialize released", verdicts: "......", script: "A -A init:A A"},
}

// Readers and writers. S:Y is a lock that is neither.
var mixed = []row{
	{name: "recursive read-lock", verdicts: ".x", kind: recursion, script: "A A"},
	{name: "recursive read-lock #2", verdicts: ".x", kind: recursion, script: "A A'"},
	{name: "read-lock in line, then recursive", verdicts: "..", script: "Q:A R:A"},
	{name: "mixed read-write-lock", verdicts: "xx", kind: recursion, script: "A W:A'"},
	{name: "mixed write-read-lock", verdicts: "xx", kind: recursion, script: "W:A A'"},
	{name: "mixed read-lock/lock-write ABBA", verdicts: "xx", kind: circular, script: "A S:Y ; S:Y W:A"},
	{name: "mixed read-lock/lock-read ABBA", verdicts: ".x", kind: circular, script: "A S:Y ; S:Y A"},
	{name: "mixed write-lock/lock-write ABBA", verdicts: "xx", kind: circular, script: "W:A S:Y ; S:Y W:A"},
	{name: "chain cached mixed R-L/L-W ABBA", verdicts: "xx", kind: circular, script: "R:A S:Y ; S:Y R:A ; S:Y W:A"},
	{name: "W1R2_W2R3_W3R1", verdicts: "xx", kind: circular, permute: true, script: "W:A r:B ; W:B r:C ; W:C r:A"},
	{name: "W1W2_R2R3_W3R1", verdicts: "xx", kind: circular, permute: true, script: "W:A W:B ; r:B r:C ; W:C r:A"},
	{name: "W1R2_R2R3_W3W1", verdicts: ".x", kind: circular, permute: true, script: "W:A r:B ; r:B r:C ; W:C W:A"},
	{name: "W1W2_R2R3_R3W1", verdicts: ".x", kind: circular, permute: true, script: "W:A W:B ; r:B r:C ; r:C W:A"},
	{name: "reader in line, then recursive: ABBA", verdicts: ".x", kind: circular, script: "Q:A r:B ; Q:B r:A"},
	// As the kernel's queued read locks: in a handler recursive, in a task in line.
	{name: "hardirq R-L, task L-R", verdicts: ".x", kind: circular, permute: true, script: "threaded{ R:A S:Y } ; hoff S:Y r:A"},
	{name: "hardirq L-R, task R-L", verdicts: ".x", kind: circular, permute: true, script: "threaded{ S:Y r:A } ; hoff R:A S:Y"},
	{name: "hardirq L, task L-R, R", verdicts: ".x", permute: true, last: []string{inversion, order, inversion},
		script: "threaded{ S:Y } ; hoff S:Y r:A ; R:A"},
	{name: "hardirq R, task R, W", verdicts: ".x", kind: state, permute: true, script: "threaded{ r:A } ; R:A ; hoff W:A"},
	{name: "hardirq R1, task W1-W2, R2", verdicts: "xx", permute: true, last: []string{inversion, order, inversion},
		script: "threaded{ r:A } ; hoff W:A W:B ; r:B"},
	{name: "hardirq R1, task R1-W2, R2", verdicts: ".x", permute: true, last: []string{inversion, order, inversion},
		script: "threaded{ r:A } ; hoff R:A W:B ; R:B"},
}

var nested = []row{
	{name: "A, A/1", verdicts: "....", script: "A A'/1"},
	{name: "A, A/1, A/2", verdicts: "....", script: "A A'/1 A''/2 ; A A'/2 ; A/1 A'/2"},
	{name: "A/1, A/1 deadlock", verdicts: "xxxx", kind: recursion, script: "A/1 A'/1"},
	{name: "A, A/1, then A/1, A", verdicts: "xxxx", kind: circular, script: "A A'/1 ; A/1 A'"},
	{name: "A, A/1, B, then B, A", verdicts: "xxxx", kind: circular, script: "A A'/1 B ; B A"},
	{name: "A/1 under B, A over B", verdicts: "....", script: "A B ; B A/1"},
}

var tries = []row{
	{name: "A-A', by TryLock", verdicts: "......", script: "A A'?"},
	{name: "A-A', the first by TryLock", verdicts: "xxx.xx", kind: recursion, script: "A? A'"},
	{name: "A-B-B-A, both by TryLock", verdicts: "......", script: "A B? ; B A?"},
	{name: "A-B-B-A, one order by TryLock", verdicts: "......", script: "A B ; B A?"},
	{name: "A-B-B-A, A held by TryLock", verdicts: "xxx.xx", kind: circular, script: "A? B ; B A"},
	{name: "A-B-C-A, B held by TryLock", verdicts: "xxx.xx", kind: circular, script: "A B? C ; C A"},
	{name: "TryLock in handler, A irqs on", verdicts: "..... ", script: "irq{ A? } ; A"},
	{name: "A in handler, TryLock irqs on", verdicts: "xxx.x ", kind: state, script: "irq{ A } ; A?"},
}

// Interrupts. %s is hard or soft.
var irqs = []row{
	{name: "%s-irqs-on + irq-safe-A", verdicts: "xxx.x", kind: state, permute: true, script: "irq{ A } ; A"},
	{name: "sirq-safe-A => hirqs-on", verdicts: "xxx.x", kind: state, permute: true, soft: true, script: "irq{ A } ; hoff A hon -A"},
	{name: "%s-safe-A + irqs-on", verdicts: "xxx.x", kind: state, permute: true, script: "irq{ A } ; off A on -A"},
	{name: "%s-safe-A + irqs off", verdicts: ".....", permute: true, script: "irq{ A } ; off A"},
	{name: "%s-safe-A + unsafe-B #1", verdicts: "xxx.x", kind: state, permute: true, script: "A B ; B ; irq{ A }"},
	{name: "%s-safe-A + unsafe-B #2", verdicts: "xxx.x", permute: true, last: []string{order, inversion, inversion},
		script: "off A B ; B ; irq{ A }"},
	{name: "%s-safe-A + unsafe-C, A-B, B-C", verdicts: "xxx.x", permute: true, last: []string{order, inversion, inversion},
		script: "off A B ; off B C -C -B on C ; irq{ A }"},
	{name: "%s-irq lock-inversion", verdicts: "xxx.x", permute: true, last: []string{order, inversion, inversion},
		script: "off W:X A ; A ; irq{ R:X }"},
	{name: "%s-irq read-recursion", verdicts: "  x.x", kind: state, permute: true, script: "off W:A ; R:A ; irq{ A S:B }"},
	{name: "%s-irq read-recursion #2", verdicts: "  x.x", permute: true, last: []string{order, inversion, inversion},
		script: "off S:B A ; R:A ; irq{ S:B }"},
	{name: "%s-irq read-recursion #3", verdicts: "  x.x", permute: true, last: []string{order, inversion, inversion},
		script: "off W:B A ; R:A ; irq{ R:B }"},
}

// LockIRQ disables hard interrupts as far as the rules are concerned, whatever
// preempt_rt is.
var lockIRQs = []row{
	{name: "hard-safe-A, A by LockIRQ", verdicts: "....", script: "irq{ A } ; A^ ; A^ B^"},
	{name: "hard-safe-A, A by LockIRQ and Lock", verdicts: "xxxx", kind: state, script: "irq{ A } ; A^ ; A"},
	{name: "hard-safe-A, A-B by LockIRQ, B", verdicts: "xxxx", kind: inversion, script: "irq{ A } ; A^ B ; B"},
	{name: "hard-safe-A, B-A, A by LockIRQ", verdicts: "....", script: "irq{ A } ; B A^"},
	{name: "hard-safe-A, A held by UnlockIRQ of B", verdicts: "xxxx", kind: state, script: "irq{ A } ; B^ A -B"},
}

// A lock.Local does not exclude other Ps: it counts in orders, and not on
// paths between locks of handlers and others.
var locals = []row{
	{name: "A-A deadlock", verdicts: "x", kind: recursion, script: "L:A L:A'"},
	{name: "A-B-B-A deadlock", verdicts: "x", kind: circular, script: "L:A L:B ; L:B L:A"},
	{name: "local-spin-spin-local deadlock", verdicts: "x", kind: circular, script: "L:A S:B ; S:B L:A"},
	{name: "local, spin, raw", verdicts: ".", script: "L:A S:B P:C ; L:A P:C ; S:B P:C"},
	{name: "local under spin", verdicts: ".", script: "S:A L:B"},
	{name: "local under mutex", verdicts: ".", script: "M:A L:B"},
	{name: "local under raw", verdicts: "n", kind: wait, script: "P:A L:B"},
	{name: "local in preempt_disable", verdicts: "n", kind: wait, script: "sched{ L:A }"},
	{name: "local in a hard interrupt", verdicts: "n", kind: wait, script: "hardirq{ L:A }"},
	{name: "local in a softirq", verdicts: ".", script: "softirq{ L:A }"},
	{name: "mutex under local", verdicts: "x", kind: wait, script: "L:A M:B"},
	{name: "under raw, by TryLock", verdicts: ".", script: "P:A L:B?"},
	{name: "irqs on, spin of a handler over it", verdicts: ".", script: "L:X ; threaded{ S:A } ; hoff S:A L:X"},
	{name: "the same, and unsafe-B under it", verdicts: ".", script: "L:X ; L:X S:B ; threaded{ S:A } ; hoff S:A L:X"},
	{name: "the same, and B under A", verdicts: "x", kind: order, script: "L:X ; L:X S:B ; threaded{ S:A } ; hoff S:A L:X ; hoff S:A S:B"},
	{name: "initialize held", verdicts: "x", kind: heldInit, script: "L:A init:L:A"},
}
