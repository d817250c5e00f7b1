package sys

import (
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname

	"quiesce/internal/race"
)

// Goroutines that inherit nothing. A go statement hands the pprof labels and
// the synctest bubble of the goroutine that happens to execute it to the new
// one: a worker of the library that serves all callers would then be accounted
// to one of them, and would hold up, or end in, the bubble of one test. A
// goroutine that a timer starts has neither, because no goroutine runs while
// the scheduler looks at its timers; and a stopped timer is no goroutine, so
// that nothing waits while the library is idle.
//
// Whether a timer is the real clock's or a bubble's is settled when it is made:
// so they are made when the package is initialized, outside of any bubble, and
// reset through resetTimer. The Reset of package time takes the current time
// from the bubble of the caller.
//
// On a version of Go that nothing was proved on, Go is a go statement, and an
// Alarm that is set inside a bubble may be years late.

// An Alarm runs a function, on a goroutine that inherits nothing, at the time
// that it was set to last.
type Alarm struct {
	t *time.Timer
}

// NewAlarm returns an Alarm that is not set. It is for initializing package
// variables only.
func NewAlarm(fn func()) Alarm {
	t := time.AfterFunc(1<<62, fn)
	t.Stop()
	return Alarm{t}
}

// Set sets the alarm to go off in ns nanoseconds, or at once if ns is not
// positive. An earlier setting that did not go off yet is replaced. Settings at
// the same time end in one of them. What the caller did is not ordered before
// fn for the race detector.
//
// Context: any.
//
//go:norace
func (a Alarm) Set(ns int64) {
	race.Disable() // the timer's clock would add up what all callers did
	if careful {
		a.t.Reset(max(time.Duration(ns), 0))
	} else {
		resetTimer(a.t, Nanotime()+max(ns, 0), 0)
	}
	race.Enable()
}

// Stop keeps the alarm from going off, unless it is about to.
//
// Context: any.
//
//go:norace
func (a Alarm) Stop() {
	race.Disable()
	a.t.Stop()
	race.Enable()
}

//go:linkname resetTimer time.resetTimer
//go:noescape
func resetTimer(t *time.Timer, when, period int64) bool

// start is a function that waits for its goroutine.
type start struct {
	next  *start
	fn    func()
	clock race.Clock
}

// starts is a stack of them, which is taken whole.
var starts atomic.Pointer[start]

var starter = NewAlarm(runStarts)

// Go runs fn on a goroutine that inherits neither pprof labels nor a synctest
// bubble. Like a go statement it may be used pinned, and orders the caller
// before fn for the race detector. Functions may begin in any order.
//
// Context: any.
//
//go:norace
func Go(fn func()) {
	if careful {
		go fn()
		return
	}
	s := &start{fn: fn}
	s.clock.Merge()
	race.Disable()
	for {
		s.next = starts.Load()                // ord:spawn
		if starts.CompareAndSwap(s.next, s) { // ord:spawn
			break
		}
	}
	race.Enable()
	starter.Set(0) // after the push: the alarm that goes off next finds it
}

// runStarts is the alarm's goroutine: it begins what waits, the last of them on
// itself.
//
//go:norace
func runStarts() {
	race.Disable()
	s := starts.Swap(nil) // ord:spawn
	race.Enable()
	for ; s != nil; s = s.next {
		if s.next == nil {
			s.run()
			return
		}
		go s.run()
	}
}

//go:norace
func (s *start) run() {
	s.clock.Acquire()
	s.fn()
}
