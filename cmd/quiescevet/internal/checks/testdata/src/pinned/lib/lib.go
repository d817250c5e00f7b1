// Package lib has functions that block, and some that may not.
package lib

import (
	"sync"
	"time"

	"quiesce/lock"
)

var mu sync.Mutex

// Locks always takes a lock.
func Locks() { // want Locks:"blocks"
	mu.Lock()
	mu.Unlock()
}

// Deep calls what blocks.
func Deep(n int) int { // want Deep:"blocks"
	n++
	Locks()
	return n
}

// Documented refreshes its table.
//
// Context: task; not pinned.
func Documented() {} // want Documented:"blocks"

// Sometimes sleeps for large n.
func Sometimes(n int) {
	if n > 100 {
		time.Sleep(time.Second)
	}
}

// Early returns before it waits.
func Early(n int) {
	if n == 0 {
		return
	}
	time.Sleep(time.Second)
}

// Lets releases a lock that its caller holds.
func Lets(l *lock.Raw) { // want Lets:"releases"
	l.Unlock()
}
