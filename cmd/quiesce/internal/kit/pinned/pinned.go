// Package pinned has the pinned contexts that several subcommands run operations
// in.
package pinned

import "quiesce/preempt"

// Preempt calls op with preemption disabled.
//
// Context: any.
func Preempt(op func()) {
	p := preempt.Disable()
	op()
	p.Enable()
}

// IRQ calls op with interrupts disabled.
//
// Context: any.
func IRQ(op func()) {
	s := preempt.DisableIRQ()
	op()
	s.Restore()
}
