// Package stall says whether a reader holds up the grace period, for those who
// suffer from it and can't ask package rcu: the allocators, whose pending frees
// wait. They in turn say what the stall costs.
package stall

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
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
// Context: any.
func Begin(reader string, since time.Duration) {
	current.Store(&info{reader, time.Now().Add(-since)}) // ord:stat
}

// End records that the grace period has ended.
//
// Context: any.
func End() {
	if current.Load() != nil { // ord:stat
		current.Store(nil) // ord:stat
	}
}

// Attrs returns what a log line about missing memory adds: nothing, or the stall
// that keeps pending frees from being reclaimed. It is typed for the variadic
// arguments of package slog.
//
// Context: any.
func Attrs() []any {
	i := current.Load() // ord:stat
	if i == nil {
		return nil
	}
	return []any{slog.String("stall", i.reader+" has held up the grace period for "+
		time.Since(i.began).Round(time.Second).String()+"; deferred frees wait for it")}
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
