package preempt

import (
	"strings"
	"testing"
)

// orderCase tells the order of events: what the task does in small words, the
// handlers by capital letters.
type orderCase struct {
	name string
	run  func(say func(string))
	want string
}

// deferral is a kind of handler, and the section that defers it.
type deferral struct {
	handle  func(fn func())         // Hardirq, Softirq
	disable func() (restore func()) // DisableIRQ, DisableBH
	left    func() (clean bool)     // the context is left
	more    []orderCase             // cases of this kind alone
}

// check runs the cases that all kinds share, and those of this kind.
func (d deferral) check(t *testing.T) {
	handle, disable := d.handle, d.disable
	for _, c := range append([]orderCase{
		{"enabled: runs at once", func(say func(string)) {
			say("before")
			handle(func() { say("A") })
			say("after")
		}, "before A after"},

		{"disabled: queued, run by Restore in the order asked for", func(say func(string)) {
			restore := disable()
			handle(func() { say("A") })
			handle(func() { say("B") })
			handle(func() { say("C") })
			say("queued")
			restore()
			say("restored")
		}, "queued A B C restored"},

		{"nested: only the outermost Restore runs them", func(say func(string)) {
			restore1 := disable()
			restore2 := disable()
			handle(func() { say("A") })
			restore2()
			say("inner")
			handle(func() { say("B") })
			restore1()
			say("outer")
		}, "inner A B outer"},

		{"out of order: the last Restore runs them", func(say func(string)) {
			restore1 := disable()
			restore2 := disable()
			handle(func() { say("A") })
			restore1()
			say("first")
			restore2()
			say("last")
		}, "first A last"},

		{"a handler asks for another: after its own end", func(say func(string)) {
			handle(func() {
				say("A")
				handle(func() { say("B") })
				say("A-ends")
			})
			say("after")
		}, "A A-ends B after"},

		{"queued handlers queue handlers: after those that wait", func(say func(string)) {
			restore := disable()
			handle(func() {
				say("A")
				handle(func() {
					say("C")
					handle(func() { say("D") })
				})
			})
			handle(func() { say("B") })
			restore()
			say("restored")
		}, "A B C D restored"},

		{"disabled and enabled again in a handler: nothing runs inside it", func(say func(string)) {
			handle(func() {
				restore := disable()
				handle(func() { say("B") })
				restore()
				say("A-ends")
			})
		}, "A-ends B"},
	}, d.more...) {
		t.Run(c.name, func(t *testing.T) {
			var said []string
			c.run(func(s string) { said = append(said, s) })
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("order of events: %s\nwant:            %s", got, c.want)
			}
			if !d.left() {
				t.Error("the context is not left")
			}
		})
	}
}
