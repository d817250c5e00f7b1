// Package ignore has faults that comments answer for.
package ignore

import "quiesce/rcu"

func line() {
	g := rcu.ReadLock()
	g.Unlock()
	g.Unlock() //quiescevet:ignore the test wants it
}

func above() {
	g := rcu.ReadLock()
	g.Unlock()
	//quiescevet:ignore the test wants it
	g.Unlock()
}

// whole is wrong in several places.
//
//quiescevet:ignore it is there to be wrong
func whole() {
	g := rcu.ReadLock()
	g.Unlock()
	g.Unlock()
	rcu.ReadLock()
}

func noReason() {
	g := rcu.ReadLock()
	g.Unlock()
	//quiescevet:ignore
	g.Unlock() // want `ended twice`
}
