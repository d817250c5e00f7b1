package locktest

import (
	"quiesce/internal/depcheck"
	"quiesce/preempt"
	"quiesce/rcu"
)

// context is what a word with a brace enters.
func (b *bench) context(name string) func(fn func()) {
	switch {
	case name == "irq" && b.soft:
		return preempt.Softirq
	case name == "irq" && b.real:
		return preempt.Hardirq
	case name == "irq":
		return preempt.Threaded
	}
	if c := contexts[name]; c != nil {
		return c
	}
	panic("locktest: no context is called " + name)
}

// contexts run a function in a context, by the names that scripts have.
var contexts = map[string]func(fn func()){
	"task":     func(fn func()) { fn() },
	"hardirq":  preempt.Hardirq,
	"threaded": preempt.Threaded,
	"softirq":  preempt.Softirq,
	"rcu":      func(fn func()) { g := rcu.ReadLock(); defer g.Unlock(); fn() },
	"rcubh":    func(fn func()) { g := rcu.ReadLockBH(); defer g.Unlock(); fn() },
	"sched":    func(fn func()) { p := preempt.Disable(); defer p.Enable(); fn() },
	"irqoff":   func(fn func()) { s := preempt.DisableIRQ(); defer s.Restore(); fn() },
	"bhoff":    func(fn func()) { s := preempt.DisableBH(); defer s.Restore(); fn() },
}

// opening is what a word without braces begins; it returns the end. nil: the
// word is none of these.
func (b *bench) opening(w string) func() (end func()) {
	switch {
	case w == "off" && b.soft:
		return func() func() { return preempt.DisableBH().Restore }
	case w == "off" && b.real, w == "hoff" && b.real:
		return func() func() { return preempt.DisableIRQ().Restore }
	case w == "off", w == "hoff":
		return func() func() { depcheck.HardirqsOff(); return depcheck.HardirqsOn }
	}
	return nil
}
