package lockdep_test

import (
	"fmt"
	"sync"

	"quiesce/lock"
	"quiesce/lockdep"
)

// A reporter receives what would otherwise be logged. Two mutexes are taken in
// both orders, one after the other: no deadlock happens, and it is reported.
func ExampleSetReporter() {
	lockdep.Enable()
	restore := lockdep.SetReporter(func(r *lockdep.Report) {
		fmt.Println(r.Kind)
		fmt.Println(r.Classes)
	})
	defer restore()

	var accounts, audit lock.Mutex
	accounts.Init("accounts")
	audit.Init("audit")

	accounts.Lock()
	audit.Lock()
	audit.Unlock()
	accounts.Unlock()

	audit.Lock()
	accounts.Lock()
	accounts.Unlock()
	audit.Unlock()
	// Output:
	// possible circular locking dependency detected
	// [accounts audit]
}

// tableType is what all tables have in common: taking one may sleep, and so may
// its holder.
var tableType = &lockdep.Type{Name: "example.table", Inner: lockdep.WaitSleep}

// table has a lock of the program's own, a sync.Mutex, which lockdep would not see
// without the Map.
type table struct {
	mu  sync.Mutex
	dep lockdep.Map
}

func (t *table) Lock() {
	if lockdep.Enabled() {
		t.dep.Acquire(tableType, lockdep.Exclusive)
	}
	t.mu.Lock()
	if lockdep.Enabled() {
		t.dep.Acquired()
	}
}

func (t *table) Unlock() {
	if lockdep.Enabled() {
		t.dep.Release()
	}
	t.mu.Unlock()
}

// A Map makes a lock of the program's own known. Here a lock that sleeps is taken
// under one that spins.
func ExampleMap() {
	lockdep.Enable()
	restore := lockdep.SetReporter(func(r *lockdep.Report) { fmt.Println(r.Kind, r.Classes) })
	defer restore()

	var sessions table
	sessions.dep.Init("sessions")
	var stats lock.Spin
	stats.Init("stats")

	stats.Lock()
	sessions.Lock()
	sessions.Unlock()
	stats.Unlock()
	// Output:
	// Invalid wait context [sessions stats]
}

// MightSleep finds a call in the wrong context also when it does not block.
func ExampleMightSleep() {
	lockdep.Enable()
	restore := lockdep.SetReporter(func(r *lockdep.Report) { fmt.Println(r.Kind, r.Classes) })
	defer restore()

	flush := func(dirty bool) {
		lockdep.MightSleep()
		if dirty {
			fmt.Println("a write to the disk")
		}
	}
	var queue lock.Spin
	queue.Init("queue")

	queue.Lock()
	flush(false)
	queue.Unlock()
	// Output:
	// sleeping function called from invalid context [queue]
}
