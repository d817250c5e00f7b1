package rcu

import (
	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// GuardBH is the proof of a read-side critical section with softirqs disabled.
type GuardBH struct {
	g  Guard
	bh preempt.BHState
}

// ReadLockBH begins a read-side critical section in which softirqs are
// disabled (preempt.DisableBH). It is a section of the one RCU, which every
// grace period waits for. The kernel's rcu_read_lock_bh.
func ReadLockBH() GuardBH {
	bh := preempt.DisableBH() // first: what it held back must run outside of the section
	g := ReadLock()
	if depcheck.Tagged {
		g.dep.Exit("rcu.Guard")
		g.dep = depcheck.Enter(depcheck.RCUBH)
	}
	return GuardBH{g, bh}
}

// Guard is the section's guard, for those who ask for one as proof. It is not
// to be unlocked.
func (g GuardBH) Guard() Guard { return g.g }

// Unlock ends the section. Softirq calls that it held back run now, outside of
// it. It must be called exactly once, on the goroutine that called ReadLockBH.
// The kernel's rcu_read_unlock_bh.
func (g GuardBH) Unlock() {
	g.g.Unlock()
	g.bh.Restore()
}
