package rcu

import (
	"context"
	"log/slog"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/stall"
	"quiesce/internal/sys"
)

// watch reports callbacks that run for longer than StallTimeout: they hold up all
// others of their queue, and every Barrier for it. Its timer runs while callbacks
// do.
var watch watchdog

type watchdog struct {
	mu     sync.Mutex
	queues []*callQueue  // whose callbacks run; protected by mu
	period time.Duration // of the ticks; protected by mu
}

// watched is what the watchdog knows of a queue. It is protected by watchdog.mu,
// except for current.
type watched struct {
	current atomic.Pointer[array] // whose callbacks the worker runs

	seen uint64        // items started at the last tick
	ran  time.Duration // how long the last one of them has run since
	next time.Duration // the next report is due when ran is more
}

var watchAlarm sys.Alarm

func init() { watchAlarm = sys.NewAlarm(watch.tick) }

// begin watches a queue. The first one starts the ticks.
//
//go:norace
func (w *watchdog) begin(q *callQueue) {
	// Half of the time: after a stop of the process a tick comes at once, and
	// must not count for more than it does.
	period := StallTimeout / 2
	if period <= 0 {
		return
	}
	race.Disable() // orders no callbacks
	w.mu.Lock()
	// No item has that number: the first tick, which may come soon, counts for nothing.
	q.watched.seen, q.watched.ran, q.watched.next = ^uint64(0), 0, 0
	if len(w.queues) == 0 {
		w.period = period
		watchAlarm.Set(int64(period))
	}
	w.queues = append(w.queues, q)
	w.mu.Unlock()
	race.Enable()
}

// end ends that. The last one stops the ticks.
//
//go:norace
func (w *watchdog) end(q *callQueue) {
	race.Disable()
	w.mu.Lock()
	if i := slices.Index(w.queues, q); i >= 0 {
		w.queues = slices.Delete(w.queues, i, i+1)
		if len(w.queues) == 0 {
			watchAlarm.Stop()
		}
	}
	w.mu.Unlock()
	q.watched.current.Store(nil) // ord:stat
	race.Enable()
}

// set says whose callbacks run now.
//
//go:norace
func (w *watched) set(a *array) {
	race.Disable()
	w.current.Store(a) // ord:stat
	race.Enable()
}

// overdue is a callback that is to be reported, with what is known of its queue.
type overdue struct {
	q        *callQueue
	batch    bool
	name     string  // of the Batch
	pc       uintptr // the callback's code
	ran      time.Duration
	waiting  uint64 // callbacks
	barriers int64
}

// tick reports the callbacks that still run.
func (w *watchdog) tick() {
	for _, o := range w.overdue() {
		f := runtime.FuncForPC(o.pc)
		name, where := "unknown", ""
		if f != nil {
			name = f.Name()
			file, line := f.FileLine(f.Entry())
			where = file + ":" + strconv.Itoa(line)
		}
		text := "rcu: stall: a callback holds up all others"
		var attrs []slog.Attr
		if o.batch {
			text = "rcu: stall: a Batch's function holds up its objects"
			attrs = append(attrs, slog.String("batch", o.name))
		}
		stall.Record(stall.Event{Kind: "callback", What: name, Lasted: o.ran})
		slog.LogAttrs(context.Background(), slog.LevelWarn, text, append(attrs,
			slog.String("callback", name), slog.String("source", where), slog.Duration("since", o.ran),
			slog.Uint64("callbacks_waiting", o.waiting), slog.Int64("barriers_waiting", o.barriers))...)
	}
}

// overdue returns the callbacks that are to be reported.
//
//go:norace
func (w *watchdog) overdue() (all []overdue) {
	race.Disable()
	w.mu.Lock()
	if len(w.queues) > 0 {
		watchAlarm.Set(int64(w.period))
	}
	for _, q := range w.queues {
		if pc := q.overdue(w.period); pc != 0 {
			all = append(all, overdue{q: q, batch: q.code != 0, name: q.name, pc: pc, ran: q.watched.ran})
		}
	}
	w.mu.Unlock()
	for i := range all {
		o := &all[i]
		o.waiting, o.barriers = o.q.unstarted(), o.q.waiting.Load() // ord:stat
	}
	race.Enable()
	return all
}

// overdue returns the code of the callback that is to be reported, or 0. It is
// called at each tick, with watchdog.mu locked.
//
//go:norace
func (q *callQueue) overdue(period time.Duration) (pc uintptr) {
	w := &q.watched
	started := q.invoked.Load() // ord:stat
	if started != w.seen {
		w.seen, w.ran, w.next = started, 0, 0
		return 0
	}
	w.ran += period
	if w.ran < max(2*period, w.next) {
		return 0
	}
	w.next = 2 * w.ran
	return q.running()
}

// running returns the code of the callback that was started last and has not
// returned, or 0. watchdog.mu is locked.
//
//go:norace
func (q *callQueue) running() (pc uintptr) {
	w := &q.watched
	// The worker writes the array without a lock. What is read here is right if
	// it has started no callback since.
	a := w.current.Load() // ord:stat
	if a == nil || a.done == 0 {
		return 0
	}
	if pc = q.code; pc == 0 {
		pc = a.code()
	}
	if q.invoked.Load() != w.seen { // ord:stat
		return 0
	}
	return pc
}
