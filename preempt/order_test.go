package preempt

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/internal/testkit"
)

// orderCase expects an order of events: small words are said by the task,
// capital letters by the handlers.
type orderCase struct {
	name string
	run  func(say func(string))
	want string
}

func (c orderCase) check(t *testing.T) {
	t.Helper()
	var said []string
	c.run(func(s string) { said = append(said, s) })
	if got := strings.Join(said, " "); got != c.want {
		t.Errorf("order of events: %s\nwant:            %s", got, c.want)
	}
}

// deferral is a kind of handler, and the section that defers it.
type deferral struct {
	handle  func(fn func())         // Hardirq, Softirq
	disable func() (restore func()) // DisableIRQ, DisableBH
	left    func() (clean bool)     // the context is left
}

// script returns a task that does what the words say: pin, unpin, disable,
// restore (the youngest section), restore-oldest. A capital letter asks for a
// handler that says it; the task says the other words itself.
func (d deferral) script(words string) func(say func(string)) {
	return func(say func(string)) {
		var pinned []Pinned
		var restores []func()
		for _, w := range strings.Fields(words) {
			switch last := len(restores) - 1; {
			case w == "pin":
				pinned = append(pinned, Disable())
			case w == "unpin":
				pinned[0].Enable()
			case w == "disable":
				restores = append(restores, d.disable())
			case w == "restore":
				restores[last]()
				restores = restores[:last]
			case w == "restore-oldest":
				restores[0]()
				restores = restores[1:]
			case strings.ToUpper(w) == w:
				d.handle(func() { say(w) })
			default:
				say(w)
			}
		}
	}
}

// check runs the cases that all kinds share, and more of this kind alone.
func (d deferral) check(t *testing.T, more []orderCase) {
	handle, disable := d.handle, d.disable
	for _, c := range append([]orderCase{
		{"enabled: runs at once", d.script("before A after"), "before A after"},
		{"disabled: queued, run by Restore in the order asked for",
			d.script("disable A B C queued restore restored"), "queued A B C restored"},
		{"nested: only the outermost Restore runs them",
			d.script("disable disable A restore first B restore last"), "first A B last"},
		{"out of order: the last Restore runs them",
			d.script("disable disable A restore-oldest first B restore last"), "first A B last"},

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
	}, more...) {
		t.Run(c.name, func(t *testing.T) {
			c.check(t)
			if !d.left() {
				t.Error("the context is not left")
			}
		})
	}
}

// checkQueues has many goroutines defer handlers at the same time while the
// number of Ps changes. between runs between two requests.
func (d deferral) checkQueues(t *testing.T, goroutines, rounds int, between func()) {
	testkit.KeepProcs(t)
	var wg sync.WaitGroup
	var early, ran atomic.Int64
	every := rounds / 30
	for g := range goroutines {
		wg.Go(func() {
			for i := range rounds {
				if i%every == 0 && g == 0 {
					runtime.GOMAXPROCS([]int{4, 1, 9, 2}[i/every%4])
				}
				mine := 0
				restore := d.disable()
				for range 3 {
					d.handle(func() { mine++; ran.Add(1) })
					between()
				}
				if mine != 0 {
					early.Add(1)
				}
				restore()
				if mine != 3 {
					t.Errorf("%d of 3 handlers ran before Restore returned", mine)
				}
			}
		})
	}
	wg.Wait()
	if got := int(ran.Load()); got != goroutines*rounds*3 {
		t.Errorf("%d handlers ran, want %d", got, goroutines*rounds*3)
	}
	if early.Load() != 0 {
		t.Errorf("%d times a handler ran while it was deferred", early.Load())
	}
	if !d.left() {
		t.Error("the context is not left")
	}
}
