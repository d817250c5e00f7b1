// Package pin has the pinned sections of package preempt without lockdep's
// hooks, for locks and for others that report to lockdep themselves. Package
// preempt defines the terms and the rules.
package pin

import (
	"quiesce/internal/fault"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Section is the token of a pinned section. It carries the state of the P, so
// that leaving needs no second look-up.
type Section struct{ CPU *percpu.CPU }

// Disable is preempt.Disable that lockdep does not record. The statements are
// those of preempt.Disable, which would not be inlined if it called this.
//
// Linux: preempt_disable_notrace.
//
//go:norace
func Disable() Section {
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
	return Section{c}
}

// Enable ends the section.
//
// Linux: preempt_enable_notrace.
//
//go:norace
func (s Section) Enable() { Leave(s.CPU) }

// Leave ends a section on P c.
//
//go:norace
func Leave(c *percpu.CPU) {
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

// Same reports whether two sections are on the same P.
func (s Section) Same(t Section) bool { return s.CPU == t.CPU }
