package rcu

import (
	"sync/atomic"

	"quiesce/internal/cookie"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Cookie names a grace period. It is made by [StartPoll] or [GetState].
type Cookie uint64 // the value of seq that marks the end of the grace period

// seq is odd while a grace period runs. Only the driver changes it.
var seq alone

func init() { cookie.Provide(&seq.Uint64) }

// alone is a word that shares no line with another variable: every reader on
// every P loads index, and every closed sheaf writes seq.
type alone struct {
	_ [percpu.Line]byte
	atomic.Uint64
	_ [percpu.Line]byte
}

// snap returns the cookie of the first grace period that begins after all
// earlier stores of the caller; see "Cookies" in doc.go.
//
//go:norace
func snap() Cookie {
	race.Disable()
	c := (now() + 3) &^ 1
	race.Enable()
	return Cookie(c)
}

// now returns seq as it is after all earlier stores of the caller. A
// read-modify-write of seq would do on every machine, but all processors would wait
// for its line, for each sheaf that they close.
//
//go:norace
func now() uint64 {
	if sys.HasFence && !race.Enabled {
		sys.Fence()       // ord:fence
		return seq.Load() // ord:seq-start
	}
	return seq.Add(0) // ord:seq-start
}

// done reports whether the grace period has ended. The load pairs with the
// driver's last step, so that what readers did is visible.
//
//go:norace
func done(c Cookie) bool {
	race.Disable()
	d := int64(seq.Load()-uint64(c)) >= 0 // ord:seq-end
	race.Enable()
	return d
}

// StartPoll returns the cookie of a grace period that will end without further
// calls. When Poll returns true for it, what the caller unlinked before
// StartPoll may be freed. StartPoll never sleeps.
//
// Context: any.
//
// Linux: start_poll_synchronize_rcu.
func StartPoll() Cookie {
	c := snap()
	startWorker(c)
	return c
}

// GetState is StartPoll without starting a grace period: the cookie costs one
// atomic operation, which pays when the caller may never need it.
// [CondSynchronize] drives the grace period if necessary.
//
// Context: any.
//
// Linux: get_state_synchronize_rcu.
func GetState() Cookie { return snap() }

// Poll reports whether the cookie's grace period has ended.
//
// Context: any.
//
// Linux: poll_state_synchronize_rcu.
func Poll(c Cookie) bool {
	if !done(c) {
		return false
	}
	race.GracePeriodSeen(uint64(c) / 2)
	return true
}

// CondSynchronize waits until the cookie's grace period has ended. If it has
// already, CondSynchronize returns at once.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: cond_synchronize_rcu.
func CondSynchronize(c Cookie) { wait(c, false) }

// CondSynchronizeExpedited is [CondSynchronize] at the pace of
// [SynchronizeExpedited].
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: cond_synchronize_rcu_expedited.
func CondSynchronizeExpedited(c Cookie) { wait(c, true) }

// Synchronize waits for a grace period: when it returns, every read-side
// critical section that was running when it was called has ended.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: synchronize_rcu.
func Synchronize() { wait(snap(), false) }

// SynchronizeExpedited is [Synchronize] with shorter sleeps: while it waits for
// a reader, it sleeps tens of microseconds at a time instead of up to half a
// millisecond, and keeps the processor busier. If another goroutine drives the
// grace period and sleeps, it hurries only when it wakes up.
//
// Context: task; not pinned, not in a read-side section.
//
// Linux: synchronize_rcu_expedited.
func SynchronizeExpedited() { wait(snap(), true) }
