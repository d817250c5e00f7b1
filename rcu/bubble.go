package rcu

import (
	"time"
	"unsafe"

	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// Callbacks of a bubble of testing/synctest use its channels and its clock, which
// only goroutines of the bubble may. So each runs on a goroutine that Call starts
// there. All workers of this package are outside of every bubble: one that
// belonged to a bubble would keep it from ending while others give it work.

// inBubble reports whether the calling goroutine is in a bubble. Only test
// binaries have any; there it costs a reading of the clock, which has no
// monotonic part in a bubble.
func inBubble() bool {
	if !sys.InTest {
		return false
	}
	now := time.Now()
	return now == now.Round(0)
}

// bubbleCalls counts the callbacks of bubbles, for Barrier.
type bubbleCalls struct {
	mu     lock.Raw
	closed bool        // protected by mu
	number uint64      // of the last callback; protected by mu
	open   *bubbleCall // those that have not returned, newest first; protected by mu
	race   race.Clock
}

type bubbleCall struct {
	number uint64
	next   *bubbleCall
	runner uintptr // the goroutine, once it runs the callback; protected by mu
}

// addInBubble is add in a bubble.
//
//go:norace
func (q *callQueue) addInBubble(item unsafe.Pointer) (ok bool) {
	b := new(bubbleCall)
	if !q.bubbles.begin(b) {
		return false
	}
	c := snap()
	go func() {
		defer q.bubbles.end(b)
		wait(c, false)
		a := &array{n: 1}
		a.items[0] = item
		q.bubbles.runs(b, sys.G())
		finished := false
		defer func() {
			if !finished {
				q.depCallbacks.End()
			}
		}()
		q.invoke(a)
		finished = true
	}()
	return true
}

//go:norace
func (s *bubbleCalls) begin(b *bubbleCall) (ok bool) {
	race.Disable()
	s.mu.LockIRQ()
	if ok = !s.closed; ok {
		s.number++
		b.number = s.number
		b.next, s.open = s.open, b
	}
	s.mu.UnlockIRQ()
	race.Enable()
	return ok
}

// runs notes the goroutine that runs the callback.
//
//go:norace
func (s *bubbleCalls) runs(b *bubbleCall, g uintptr) {
	race.Disable()
	s.mu.LockIRQ()
	b.runner = g
	s.mu.UnlockIRQ()
	race.Enable()
}

// runner reports whether the goroutine runs a callback.
//
//go:norace
func (s *bubbleCalls) runner(g uintptr) (yes bool) {
	race.Disable()
	s.mu.LockIRQ()
	for b := s.open; b != nil && !yes; b = b.next {
		yes = b.runner == g
	}
	s.mu.UnlockIRQ()
	race.Enable()
	return yes
}

// close has begin refuse callbacks.
//
//go:norace
func (s *bubbleCalls) close() {
	race.Disable()
	s.mu.LockIRQ()
	s.closed = true
	s.mu.UnlockIRQ()
	race.Enable()
}

//go:norace
func (s *bubbleCalls) end(b *bubbleCall) {
	s.race.Merge()
	race.Disable()
	s.mu.LockIRQ()
	at := &s.open
	for *at != b {
		at = &(*at).next
	}
	*at = b.next
	s.mu.UnlockIRQ()
	race.Enable()
}

// newest returns the number of the last callback.
//
//go:norace
func (s *bubbleCalls) newest() (number uint64) {
	race.Disable()
	s.mu.LockIRQ()
	number = s.number
	s.mu.UnlockIRQ()
	race.Enable()
	return number
}

// wait returns when all callbacks up to number have returned. It waits by a
// system call, during which the clock of the caller's bubble stands still.
//
//go:norace
func (s *bubbleCalls) wait(number uint64) {
	for s.left(number) {
		sys.Sleep(50_000)
	}
	s.race.Acquire()
}

// left reports whether a callback up to number has not returned.
//
//go:norace
func (s *bubbleCalls) left(number uint64) (yes bool) {
	race.Disable()
	s.mu.LockIRQ()
	for b := s.open; b != nil && !yes; b = b.next {
		yes = b.number <= number
	}
	s.mu.UnlockIRQ()
	race.Enable()
	return yes
}
