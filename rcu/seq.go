package rcu

import (
	"sync/atomic"

	"quiesce/internal/race"
)

// Cookie names a grace period: the value of seq that marks its end.
type Cookie uint64

// seq is odd while a grace period runs. Only the driver changes it.
var seq atomic.Uint64

// snap returns the cookie of the first grace period that begins after every
// earlier store of the caller. The read-modify-write is what orders those
// stores before it; see "Cookies" in doc.go.
//
//go:norace
func snap() Cookie {
	if race.Enabled {
		race.Disable()
	}
	c := Cookie((seq.Add(0) + 3) &^ 1) // ord:seq-start
	if race.Enabled {
		race.Enable()
	}
	return c
}

// done reports whether the grace period has ended. The load pairs with the
// driver's last step, so that what readers did is visible.
//
//go:norace
func done(c Cookie) bool {
	if race.Enabled {
		race.Disable()
	}
	d := int64(seq.Load()-uint64(c)) >= 0 // ord:seq-end
	if race.Enabled {
		race.Enable()
	}
	return d
}

// seen is done for users: the end of the grace period is before what follows.
func seen(c Cookie) bool {
	if !done(c) {
		return false
	}
	race.GracePeriodSeen(uint64(c) / 2)
	return true
}

// StartPoll returns the cookie of a grace period that will come to an end by
// itself. What the caller unlinked before may be freed once Poll says so. Any
// context; never sleeps. The kernel's start_poll_synchronize_rcu.
func StartPoll() Cookie {
	c := snap()
	ensure(c)
	return c
}

// GetState is StartPoll without the promise that anybody makes the grace
// period happen: the cookie costs one atomic operation, for those who may
// never need it. CondSynchronize drives it if it must. Any context. The
// kernel's get_state_synchronize_rcu.
func GetState() Cookie { return snap() }

// Poll reports whether the cookie's grace period has ended. Any context. The
// kernel's poll_state_synchronize_rcu.
func Poll(c Cookie) bool { return seen(c) }

// CondSynchronize waits until the cookie's grace period has ended, and
// returns at once if it has already. Unpinned, outside of read-side sections.
// The kernel's cond_synchronize_rcu.
func CondSynchronize(c Cookie) { wait(c, false) }

// CondSynchronizeExpedited is CondSynchronize at the pace of
// SynchronizeExpedited.
func CondSynchronizeExpedited(c Cookie) { wait(c, true) }

// Synchronize waits for a grace period: every read-side critical section that
// was running when it was called has ended when it returns. Unpinned, outside
// of read-side sections. The kernel's synchronize_rcu.
func Synchronize() { wait(snap(), false) }

// SynchronizeExpedited is Synchronize that sleeps for tens of microseconds at a
// time while it waits for a reader, in place of up to half a millisecond, at
// the price of a busier processor. A driver that sleeps already hurries when
// it wakes up. Unpinned, outside of read-side sections. The kernel's
// synchronize_rcu_expedited.
func SynchronizeExpedited() { wait(snap(), true) }
