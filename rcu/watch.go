package rcu

import (
	"context"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// watch reports callbacks that run for longer than StallTimeout: they hold up all
// others, and every Barrier. Its timer runs while callbacks do.
var watch watchdog

type watchdog struct {
	current atomic.Pointer[array] // whose callbacks the worker runs

	mu     sync.Mutex
	on     bool          // callbacks run; protected by mu
	seen   uint64        // callbacks started at the last tick; protected by mu
	ran    time.Duration // how long the last one of them has run since; protected by mu
	next   time.Duration // the next report is due when ran is more; protected by mu
	period time.Duration // of the ticks; protected by mu
}

var watchAlarm sys.Alarm

func init() { watchAlarm = sys.NewAlarm(watch.tick) }

// begin starts the ticks.
//
//go:norace
func (w *watchdog) begin() {
	// Half of the time: after a stop of the process a tick comes at once, and
	// must not count for more than it does.
	period := StallTimeout / 2
	if period <= 0 {
		return
	}
	race.Disable() // orders no callbacks
	w.mu.Lock()
	w.on, w.seen, w.ran, w.next, w.period = true, 0, 0, 0, period
	watchAlarm.Set(int64(period))
	w.mu.Unlock()
	race.Enable()
}

// end stops the ticks.
//
//go:norace
func (w *watchdog) end() {
	race.Disable()
	w.mu.Lock()
	if w.on {
		w.on = false
		watchAlarm.Stop()
	}
	w.mu.Unlock()
	w.current.Store(nil) // ord:stat
	race.Enable()
}

// set says whose callbacks run now.
//
//go:norace
func (w *watchdog) set(a *array) {
	race.Disable()
	w.current.Store(a) // ord:stat
	race.Enable()
}

// tick checks whether the callback of the last tick still runs.
func (w *watchdog) tick() {
	if pc, ran := w.overdue(); pc != 0 {
		f := runtime.FuncForPC(pc)
		name, where := "unknown", ""
		if f != nil {
			name = f.Name()
			file, line := f.FileLine(f.Entry())
			where = file + ":" + strconv.Itoa(line)
		}
		slog.LogAttrs(context.Background(), slog.LevelWarn, "rcu: stall: a callback holds up all others",
			slog.String("callback", name), slog.String("source", where), slog.Duration("since", ran),
			slog.Uint64("callbacks_waiting", calls.waiting()),
			slog.Int64("barriers_waiting", calls.barriers.Load())) // ord:stat
	}
}

// overdue returns the code of the callback that is to be reported, or 0.
//
//go:norace
func (w *watchdog) overdue() (pc uintptr, ran time.Duration) {
	race.Disable()
	defer race.Enable()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.on {
		return 0, 0
	}
	watchAlarm.Set(int64(w.period))
	started := calls.invoked.Load() // ord:stat
	if started != w.seen {
		w.seen, w.ran, w.next = started, 0, 0
		return 0, 0
	}
	w.ran += w.period
	if w.ran < max(2*w.period, w.next) {
		return 0, 0
	}
	w.next = 2 * w.ran
	// The worker writes the array without a lock. What is read here is right if
	// it has started no callback since.
	a := w.current.Load() // ord:stat
	if a == nil || a.done == 0 {
		return 0, 0
	}
	if fn := a.fns[(a.done-1)%arraySize]; fn != nil {
		pc = sys.FuncPC(fn)
	}
	if calls.invoked.Load() != started { // ord:stat
		return 0, 0
	}
	return pc, w.ran
}
