package preempt

import (
	"runtime"
	"strings"
	"testing"
)

// tasks counts the goroutines that have softirqs disabled.
func tasks() (n int32) {
	for i := range bhBuckets {
		n += bhBuckets[i].count.Load()
	}
	return n
}

var softirqs = deferral{
	handle:  Softirq,
	disable: func() func() { return DisableBH().Restore },
	left:    func() bool { return !Atomic() && !BHDisabled() && tasks() == 0 },
}

func TestSoftirqWaitsWhileDisabledAndRunsInOrder(t *testing.T) {
	softirqs.check(t, []orderCase{
		{"a section that begins between two: the later one's are not run early",
			softirqs.script("disable A restore disable B queued restore"), "A queued B"},

		{"a Hardirq is not held back", func(say func(string)) {
			s := DisableBH()
			Softirq(func() { say("S") })
			Hardirq(func() { say("H") })
			say("task")
			s.Restore()
		}, "H task S"},

		{"a Hardirq asks for one under DisableBH: queued", func(say func(string)) {
			s := DisableBH()
			Hardirq(func() { Softirq(func() { say("S") }); say("H") })
			say("task")
			s.Restore()
		}, "H task S"},

		{"another goroutine's are not held back", func(say func(string)) {
			if !RT() {
				say("other") // it could not run while this one waits pinned
				return
			}
			s := DisableBH()
			done := make(chan struct{})
			go func() { Softirq(func() { say("other") }); close(done) }()
			<-done
			s.Restore()
		}, "other"},
	})
}

// With preempt_rt=0 the section is pinned; a handler runs under Softirq's
// rules also where it was queued.
func TestDisableBHAndQueuedSoftirqsKeepTheModesRules(t *testing.T) {
	var section, queued, disabled bool
	s := DisableBH()
	section = Atomic()
	Softirq(func() { queued, disabled = Atomic(), BHDisabled() })
	s.Restore()
	if section != !RT() || queued != !RT() {
		t.Errorf("Atomic() = %v in the section and %v in a queued handler, want %v", section, queued, !RT())
	}
	if !disabled {
		t.Error("softirqs are enabled in a handler")
	}
}

// A handler that panics is recoverable with preempt_rt=1, where it isn't
// pinned. Those queued after it run anyway.
func TestPanicInASoftirqLeavesNothingBehind(t *testing.T) {
	if !RT() {
		dies(t, "panic in Softirq", "text of the panic")
		return
	}
	for _, c := range []orderCase{
		{"at once", func(say func(string)) {
			Softirq(func() { panic("A") })
		}, "recovered A"},
		{"at once, having asked for another", func(say func(string)) {
			Softirq(func() { Softirq(func() { say("B") }); panic("A") })
		}, "B recovered A"},
		{"queued before another", func(say func(string)) {
			s := DisableBH()
			Softirq(func() { panic("A") })
			Softirq(func() { say("B") })
			s.Restore()
		}, "B recovered A"},
		{"with softirqs disabled once more", func(say func(string)) {
			Softirq(func() { DisableBH(); panic("A") })
		}, "recovered A"},
		{"two of them: the later one is the one to recover, as in deferred calls", func(say func(string)) {
			s := DisableBH()
			Softirq(func() { panic("A") })
			Softirq(func() { panic("B") })
			Softirq(func() { say("C") })
			s.Restore()
		}, "C recovered B"},
	} {
		t.Run(c.name, func(t *testing.T) {
			run := c.run
			c.run = func(say func(string)) {
				defer func() { say("recovered " + recover().(string)) }()
				run(say)
			}
			c.check(t)
			ran := false
			Softirq(func() { ran = true })
			if !ran || BHDisabled() || tasks() != 0 {
				t.Errorf("after the panic: a Softirq runs at once = %v, disabled = %v, tasks left %d", ran, BHDisabled(), tasks())
			}
		})
	}
}

//
//quiescevet:ignore misuse is what it is about
func TestRestoreOutOfPlacePanics(t *testing.T) {
	const text = "section that this goroutine is not in"
	cases := map[string]func(){
		"of no section": func() { BHState{}.Restore() },
		"twice": func() {
			s := DisableBH()
			s.Restore()
			s.Restore()
		},
		"twice, with another section in between": func() {
			s := DisableBH()
			s.Restore()
			other := DisableBH()
			defer other.Restore()
			s.Restore()
		},
	}
	if RT() {
		cases["in a handler that it runs"] = scenarios["panic by Restore in a handler"]
		cases["on another goroutine"] = func() {
			s := DisableBH()
			defer s.Restore()
			got := make(chan any)
			go func() {
				defer func() { got <- recover() }()
				s.Restore()
			}()
			panic(<-got)
		}
	} else {
		delete(cases, "twice, with another section in between") // its panic comes pinned
		dies(t, "panic by Restore in a handler", text)
	}
	for name, run := range cases {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if got, _ := recover().(string); !strings.Contains(got, text) {
					t.Errorf("panic %q, want one with %q", got, text)
				}
				if BHDisabled() || Atomic() || tasks() != 0 {
					t.Error("the panic left the context entered")
				}
			}()
			run()
		})
	}
}

// With preempt_rt=1 the goroutine moves between Ps in the section, and its
// queue moves with it. Many at once share buckets.
func TestSoftirqQueuesBelongToTheirGoroutine(t *testing.T) {
	softirqs.checkQueues(t, 200, 30, func() {
		if RT() {
			runtime.Gosched()
		}
	})
}
