package rcu

import (
	"quiesce/internal/depcheck"
	"quiesce/preempt"
)

// GuardBH is the token of a read-side critical section with softirqs disabled.
type GuardBH struct {
	g  Guard
	bh preempt.BHState
}

// ReadLockBH begins a read-side critical section with softirqs disabled (see
// [preempt.DisableBH]). Every grace period waits for it, as for a section of
// [ReadLock].
//
// Context: any except Hardirq.
//
// Linux: rcu_read_lock_bh.
func ReadLockBH() GuardBH {
	bh := preempt.DisableBH() // first, so that deferred softirqs run outside the section
	g := ReadLock()
	if depcheck.Tagged {
		g.dep.Exit("rcu.Guard")
		g.dep = depcheck.Enter(depcheck.RCUBH)
	}
	return GuardBH{g, bh}
}

// Guard returns the guard of the section, for functions that take one as proof.
// It can't be unlocked.
func (g *GuardBH) Guard() Guard { return g.g.lend() }

// Unlock ends the section. Softirq calls that it deferred run now, outside the
// section. It must be called exactly once, on the goroutine that called
// ReadLockBH. It panics where [Guard.Unlock] does.
//
// Linux: rcu_read_unlock_bh.
func (g *GuardBH) Unlock() {
	g.g.Unlock()
	g.bh.Restore()
}
