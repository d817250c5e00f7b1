// Package slabtest turns the reports of poison builds into test failures.
package slabtest

import (
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/internal/report"
	"quiesce/preempt"
	"quiesce/slab"
)

// Check fails the test for every report of a build with -tags poison (or -asan)
// until the test and its subtests have ended, whichever goroutine it is about.
// At the end it examines the objects of all caches that are still open, as
// [slab.Cache.Validate] does. Tests that run in parallel share the reports: let
// one of them call Check. In other builds Check does nothing.
func Check(t testing.TB) {
	t.Helper()
	if !slab.PoisonEnabled {
		return
	}
	c := &check{t: t}
	restore := slab.SetReporter(c.report)
	t.Cleanup(func() {
		t.Helper()
		report.Validate()
		restore()
		c.end()
	})
}

// check passes reports to a test. A report comes from any context and under any
// lock of slab's: where its goroutine is pinned, it must not wait for a lock of
// package testing.
type check struct {
	t     testing.TB
	mu    sync.Mutex
	ended bool // protected by mu: t must not be used after its test

	pinned atomic.Pointer[pinned] // reports from pinned sections, the latest first
}

type pinned struct {
	text string
	next *pinned
}

func (c *check) report(text string) {
	if !preempt.Atomic() {
		c.fail(text)
		return
	}
	// The test may never come to its end: what is pinned ends the process when
	// it panics, as it does over a double free.
	print(text)
	p := &pinned{text: text}
	for {
		p.next = c.pinned.Load()
		if c.pinned.CompareAndSwap(p.next, p) {
			return
		}
	}
}

func (c *check) fail(text string) {
	c.t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.t.Error(text)
	}
}

// end makes the reports from pinned sections failures too.
func (c *check) end() {
	c.t.Helper()
	for p := c.pinned.Load(); p != nil; p = p.next {
		c.fail(p.text)
	}
	c.mu.Lock()
	c.ended = true
	c.mu.Unlock()
}
