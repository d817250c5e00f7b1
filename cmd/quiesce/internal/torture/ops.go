package torture

import (
	"sync/atomic"

	"quiesce/rcu"
)

// ops is what is tortured: the updater's side of an RCU (the kernel's
// rcu_torture_ops). Readers use the library's sections in any case.
type ops struct {
	name            string
	sync, exp       func()
	call            func(func())
	barrier         func()
	get             func() rcu.Cookie // GetState
	start           func() rcu.Cookie // StartPoll
	poll            func(rcu.Cookie) bool
	cond, condExp   func(rcu.Cookie)
	completed       func() uint64 // grace periods that have ended
	freeRCUIsFree   bool          // FreeRCU is Free
	stallsAreReport bool          // readers that hold up a grace period are reported
}

func opsOf(tortureType string) *ops {
	switch tortureType {
	case "busted":
		return bustedOps()
	case "batch":
		return batchOps()
	}
	return rcuOps()
}

func rcuOps() *ops {
	return &ops{
		name: "rcu",
		sync: rcu.Synchronize, exp: rcu.SynchronizeExpedited,
		call: rcu.Call, barrier: rcu.Barrier,
		get: rcu.GetState, start: rcu.StartPoll, poll: rcu.Poll,
		cond: rcu.CondSynchronize, condExp: rcu.CondSynchronizeExpedited,
		completed:       func() uint64 { return rcu.ReadStats().GracePeriods },
		stallsAreReport: true,
	}
}

// batchOps has the callbacks go through an rcu.Batch.
func batchOps() *ops {
	b := rcu.NewBatch("torture", func(fns []*func()) {
		for _, fn := range fns {
			(*fn)()
		}
	})
	o := rcuOps()
	o.name, o.call, o.barrier = "batch", func(fn func()) { b.Add(&fn) }, b.Barrier
	return o
}

// bustedOps is an RCU whose grace periods wait for no reader. A test that does
// not fail with it is broken.
func bustedOps() *ops {
	var n atomic.Uint64
	gp := func() { n.Add(1) }
	cookie := func() rcu.Cookie { return rcu.Cookie(n.Load()) }
	return &ops{
		name: "busted",
		sync: gp, exp: gp,
		call:    func(fn func()) { gp(); go fn() },
		barrier: func() {},
		get:     cookie, start: cookie,
		poll: func(rcu.Cookie) bool { return true },
		cond: func(rcu.Cookie) { gp() }, condExp: func(rcu.Cookie) { gp() },
		completed:     n.Load,
		freeRCUIsFree: true,
	}
}
