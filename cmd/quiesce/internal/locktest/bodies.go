package locktest

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Rows whose bodies are Go.

// bigOrder is an order that no P's list has, so an allocation takes the zone's
// lock each time: builds without the tag check slow paths only.
const bigOrder = 5

// pages is the allocator of the rows about allocations.
var pages = func() *page.Allocator {
	a, err := page.New(page.Config{Name: "locktest", Reserve: 64 << 20})
	if err != nil {
		panic("locktest: " + err.Error())
	}
	return a
}()

func alloc(f gfp.Flags) {
	if p := pages.Alloc(bigOrder, f|gfp.NoWarn); p != nil {
		pages.Free(p, bigOrder)
	}
}

// sleeps are contexts, and what may be called there.
func sleeps() (rows []row) {
	within := func(c string) func(b *bench, fn func()) {
		return func(_ *bench, fn func()) { contexts[c](fn) }
	}
	under := func(word string) func(b *bench, fn func()) {
		return func(b *bench, fn func()) {
			take := b.taking(word)
			b.event([]step{take, func(*bench) { fn() }})
		}
	}
	calls := map[string]func(){
		"sleep":   lockdep.MightSleep,
		"Kernel":  func() { alloc(gfp.Kernel) },
		"Atomic":  func() { alloc(gfp.Atomic) },
		"NoWait":  func() { alloc(gfp.NoWait) },
		"NoLocks": func() { alloc(gfp.Kernel | gfp.NoLocks) },
	}
	for _, c := range []struct {
		name     string
		in       func(b *bench, fn func())
		verdicts string
	}{
		{"task", within("task"), "....."},
		{"mutex held", under("M:A"), "....."},
		{"spin held", under("S:A"), "xx..."},
		{"spin held by LockIRQ", under("S:A^"), "xx..."},
		{"write lock held", under("W:A"), "xx..."},
		{"read lock held", under("R:A"), "xx..."},
		{"local held", under("L:A"), "xx..."},
		{"raw held", under("P:A"), "xxnn."},
		{"raw held by LockIRQ", under("P:A^"), "xxnn."},
		{"hardirq (threadable)", within("threaded"), "xx..."},
		{"hardirq (not threaded)", within("hardirq"), "xxnn."},
		{"softirq", within("softirq"), "xx..."},
		{"interrupts off", within("irqoff"), "xxnn."},
		{"rcu_read_lock", within("rcu"), "tt..."},
		{"rcu_read_lock_bh", within("rcubh"), "tt..."},
		{"rcu_read_lock_sched", within("sched"), "xxnn."},
	} {
		rows = append(rows, row{name: c.name, verdicts: c.verdicts, kinds: sleepKinds, body: func(b *bench) {
			fn := calls[b.column]
			c.in(b, fn)
			lockdep.CheckNoLocksHeld()
		}})
	}
	return rows
}

// sleepKinds are the kinds of reports in sleeps' columns.
var sleepKinds = map[string]string{"sleep": sleeping, "Kernel": sleeping, "Atomic": wait, "NoWait": wait, "NoLocks": wait}

// shared is what the RCU rows dereference.
var shared = func() *atomic.Pointer[int] {
	p := new(atomic.Pointer[int])
	p.Store(new(int))
	return p
}()

var rcuRows = []row{
	{name: "Dereference in rcu_read_lock", verdicts: ".", body: func(*bench) { contexts["rcu"](func() { rcu.Dereference(shared) }) }},
	{name: "Dereference in rcu_read_lock_bh", verdicts: ".", body: func(*bench) { contexts["rcubh"](func() { rcu.Dereference(shared) }) }},
	{name: "Dereference in preempt_disable", verdicts: ".", body: func(*bench) { contexts["sched"](func() { rcu.Dereference(shared) }) }},
	{name: "Dereference under raw", verdicts: ".", body: func(b *bench) {
		b.event([]step{b.taking("P:A"), func(*bench) { rcu.Dereference(shared) }})
	}},
	{name: "Dereference outside of a section", verdicts: "t", kind: rcuUsage, body: func(*bench) { rcu.Dereference(shared) }},
	{name: "Dereference under spin", verdicts: "t", kind: rcuUsage, body: func(b *bench) {
		b.event([]step{b.taking("S:A"), func(*bench) { rcu.Dereference(shared) }})
	}},
	{name: "Dereference after the guard's Unlock", verdicts: "t", kind: rcuUsage, body: func(*bench) {
		g := rcu.ReadLock()
		g.Unlock()
		rcu.Dereference(shared)
	}},
	{name: "DereferenceProtected, lock held", verdicts: ".", body: protected(true)},
	{name: "DereferenceProtected, lock not held", verdicts: "t", kind: rcuUsage, body: protected(false)},
	{name: "sections that overlap", verdicts: ".", body: func(*bench) {
		g, h := rcu.ReadLock(), rcu.ReadLock()
		g.Unlock()
		rcu.Dereference(shared)
		h.Unlock()
	}},
	{name: "guard handed over, unlocked there", verdicts: ".", body: func(*bench) {
		g := rcu.ReadLock()
		elsewhere(g.Unlock)
	}},
	{name: "guard handed over and adopted", verdicts: ".", body: func(*bench) {
		g := rcu.ReadLock()
		elsewhere(func() { g.Adopt(); rcu.Dereference(shared); g.Unlock() })
	}},
	{name: "guard handed over, not adopted", verdicts: "t", kind: rcuUsage, body: func(*bench) {
		g := rcu.ReadLock()
		elsewhere(func() { rcu.Dereference(shared); g.Unlock() })
	}},
	{name: "guard unlocked twice", verdicts: "t", kind: balance, body: func(*bench) {
		defer func() { recover() }() // the second one panics as well
		g := rcu.ReadLock()
		g.Unlock()
		g.Unlock()
	}},
	{name: "guard used after its Unlock", verdicts: "t", kind: rcuUsage, body: func(*bench) {
		g := rcu.ReadLock()
		g.Unlock()
		if depcheck.Tagged {
			depcheck.CheckGuard(0, unsafe.Pointer(&g))
		}
	}},
	{name: "Synchronize", verdicts: ".", body: func(*bench) { rcu.Synchronize() }},
	{name: "Synchronize in rcu_read_lock", verdicts: "t", kind: rcuUsage, body: inReader(rcu.Synchronize)},
	{name: "SynchronizeExpedited in rcu_read_lock", verdicts: "t", kind: rcuUsage, body: inReader(rcu.SynchronizeExpedited)},
	{name: "Barrier in rcu_read_lock", verdicts: "t", kind: rcuUsage, body: inReader(rcu.Barrier)},
	{name: "Synchronize in an interrupt handler", verdicts: "x", kind: sleeping, body: func(*bench) { contexts["threaded"](rcu.Synchronize) }},
	{name: "Synchronize under a mutex", verdicts: ".", body: func(b *bench) {
		b.event([]step{b.taking("M:A"), func(*bench) { rcu.Synchronize() }})
	}},
	{name: "mutex released by another goroutine", verdicts: "x", kind: balance, body: func(b *bench) {
		l := b.lock("M:A").(*lock.Mutex)
		l.Lock()
		elsewhere(l.Unlock)
	}},
	{name: "goroutine at its end holds a mutex", verdicts: "x", kind: stillHeld, body: func(b *bench) {
		b.event([]step{b.taking("M:A"), func(*bench) { lockdep.CheckNoLocksHeld() }})
	}},
	{name: "goroutine ended, holds a spin lock", verdicts: "x", kind: stillHeld, body: func(b *bench) {
		if !preempt.RT() {
			b.event([]step{b.taking("S:A"), func(*bench) { lockdep.CheckNoLocksHeld() }}) // it can't end pinned
			return
		}
		elsewhere(b.lock("S:A").(*lock.Spin).Lock)
		lockdep.CheckExited()
	}},
	{name: "goroutine ended, guard not unlocked", verdicts: "t", kind: stillHeld, body: func(b *bench) {
		var g rcu.Guard
		elsewhere(func() { g = rcu.ReadLock() })
		lockdep.CheckExited()
		g.Unlock()
	}},
}

func protected(held bool) func(b *bench) {
	return func(b *bench) {
		l := b.lock("M:A").(*lock.Mutex)
		if held {
			l.Lock()
			defer l.Unlock()
		}
		rcu.DereferenceProtected(shared, l.Held())
	}
}

// elsewhere runs fn on another goroutine and waits until that has ended.
func elsewhere(fn func()) {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		fn()
	}()
	<-ended
	sys.Sleep(1_000_000) // it is gone when its stack is
}

// inReader calls, in a section, what waits for readers. It would wait for
// itself, so another goroutine ends the section soon.
func inReader(fn func()) func(b *bench) {
	return func(*bench) {
		g := rcu.ReadLock()
		ended := make(chan struct{})
		go func() {
			sys.Sleep(2_000_000)
			g.Unlock()
			close(ended)
		}()
		fn()
		<-ended
	}
}
