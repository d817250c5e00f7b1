// Package stall says whether a reader holds up the grace period, for those who
// suffer from it and can't ask package rcu: the allocators, whose pending frees
// wait. They in turn say what the stall costs.
package stall

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/internal/race"
)

// current is the stall that was reported last, nil once its grace period has
// ended.
var current atomic.Pointer[info]

type info struct {
	reader string
	began  time.Time
}

// Begin records a stall: reader says which reader it is, as in "a preemptible
// reader", and since for how long it has held up the grace period.
//
// Package rcu calls it hidden from the race detector, so that no edge leads to
// those who ask: the functions here hide what they touch as well.
//
// Context: any.
//
//go:norace
func Begin(reader string, since time.Duration) {
	race.Disable()
	current.Store(&info{reader, time.Now().Add(-since)}) // ord:stat
	race.Enable()
}

// End records that the grace period has ended.
//
// Context: any.
//
//go:norace
func End() {
	race.Disable()
	if current.Load() != nil { // ord:stat
		current.Store(nil) // ord:stat
	}
	race.Enable()
}

// Attrs returns what a log line about missing memory adds: nothing, or the stall
// that keeps pending frees from being reclaimed. It is typed for the variadic
// arguments of package slog.
//
// Context: any.
func Attrs() []any {
	reader, began := read()
	if reader == "" {
		return nil
	}
	return []any{slog.String("stall", reader+" has held up the grace period for "+
		time.Since(began).Round(time.Second).String()+"; deferred frees wait for it")}
}

// read returns the stall that was reported last, or "".
//
//go:norace
func read() (reader string, began time.Time) {
	race.Disable()
	defer race.Enable()
	if i := current.Load(); i != nil { // ord:stat
		reader, began = i.reader, i.began
	}
	return reader, began
}

var costs struct {
	sync.Mutex
	fns []func() slog.Attr
}

// AddCost registers a function that says what waits for a grace period. It is
// called on a goroutine of its own for each report.
func AddCost(fn func() slog.Attr) {
	costs.Lock()
	defer costs.Unlock()
	costs.fns = append(costs.fns, fn)
}

// Costs returns what all registered functions say.
//
// Context: task; not pinned.
func Costs() (attrs []slog.Attr) {
	costs.Lock()
	fns := costs.fns
	costs.Unlock()
	for _, fn := range fns {
		attrs = append(attrs, fn())
	}
	return attrs
}
