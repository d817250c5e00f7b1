package preempt

import (
	"quiesce/internal/depcheck"
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Pinned is the token of a section with preemption disabled. It carries the
// P's state, so that leaving needs no second look-up.
type Pinned struct {
	dep depcheck.Section // empty but with -tags lockdep
	cpu *percpu.CPU
}

// Disable pins the goroutine to its P until Enable: a raw atomic context and
// an RCU read-side section. Sections nest, and may end in another order than
// they began. Any context. The kernel's preempt_disable.
//
//go:norace
func Disable() Pinned {
	c := percpu.Pin()
	c.Nest++ // ord:nest
	if fault.Delays {
		fault.Delay("nest")
	}
	if race.Enabled {
		if c.Nest == 1 { // ord:nest
			c.Epoch = race.Enter()
		}
	}
	if depcheck.Tagged {
		return Pinned{depcheck.Enter(depcheck.PreemptDisabled), c}
	}
	return Pinned{cpu: c}
}

// Enable ends the section. It must be called once, on the goroutine that
// called Disable. The kernel's preempt_enable.
//
//go:norace
func (p Pinned) Enable() {
	if depcheck.Tagged && !p.dep.Exit("preempt.Pinned") {
		return
	}
	p.EnableNotrace()
	if depcheck.Tagged {
		depcheck.Left()
	}
}

// DisableNotrace is Disable that lockdep takes no note of, for locks, which
// tell it of themselves. The statements are those of Disable, which would not
// be inlined if it called this. The kernel's preempt_disable_notrace.
//
//go:norace
func DisableNotrace() Pinned {
	c := percpu.Pin()
	c.Nest++ // ord:nest
	if fault.Delays {
		fault.Delay("nest")
	}
	if race.Enabled {
		if c.Nest == 1 { // ord:nest
			c.Epoch = race.Enter()
		}
	}
	return Pinned{cpu: c}
}

// EnableNotrace ends a section of DisableNotrace. The kernel's
// preempt_enable_notrace.
//
//go:norace
func (p Pinned) EnableNotrace() {
	c := p.cpu
	if race.Enabled {
		if c.Nest == 1 { // ord:nest
			race.Exit(c.Epoch)
		}
	}
	if fault.Delays {
		fault.Delay("qs")
	}
	c.Nest-- // ord:qs
	if fault.Delays {
		fault.Delay("qs")
	}
	if c.Nest == 0 { // ord:qs
		c.QS++ // ord:qs
	}
	sys.ProcUnpin()
}

// Same reports whether two sections are of one P.
func (p Pinned) Same(q Pinned) bool { return p.cpu == q.cpu }

// Atomic reports whether this goroutine is in a pinned section of this
// package or of lock. Any context. The kernel's in_atomic.
//
//go:norace
func Atomic() bool {
	in := percpu.Pin().Nest != 0 // ord:nest
	sys.ProcUnpin()
	return in
}
