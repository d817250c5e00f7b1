package demo

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/rcu"
)

// step is a change of GOMAXPROCS at a part of the duration.
type step struct {
	at    float64
	procs int
}

// steps are the changes for a program that starts with n.
func steps(n int) []step {
	return []step{{0.25, n + 2}, {0.50, 1}, {0.55, n + 2}, {0.75, n}}
}

const (
	tickLeast = 2 * time.Millisecond
	tickMost  = 50 * time.Millisecond
	tellEvery = 200 * time.Millisecond
	gcEach    = 0.1             // of the duration: a garbage collection is requested
	overtime  = 8 * time.Second // at most, for a short run that saw no pressure yet
)

// exec is the run phase. All goroutines that it started have ended when it
// returns.
func (j *job) exec(ctx context.Context) {
	procs := runtime.GOMAXPROCS(0)
	defer func() {
		if runtime.GOMAXPROCS(0) != procs {
			runtime.GOMAXPROCS(procs)
		}
	}()
	j.rep.GOMAXPROCS = procs
	j.rep.Readers = j.cfg.Readers
	j.rep.Writers = min(j.cfg.Writers, len(j.entries))
	j.stretch.Store(int64(min(longStretch, j.cfg.Duration/15)))
	if j.cfg.hooks.loaded != nil {
		j.cfg.hooks.loaded(j)
	}
	j.writers = make([]*writer, j.rep.Writers)
	for i := range j.writers {
		j.writers[i] = newWriter(j, i, len(j.writers), maxHeld(j.limit(), len(j.writers)))
	}
	j.readers = make([]*reader, j.rep.Readers)
	for i := range j.readers {
		j.readers[i] = &reader{j: j, id: i, rng: j.random("reader", i)}
	}
	periods := rcu.ReadStats().GracePeriods
	gc := newCollector()
	start := time.Now()
	var wg sync.WaitGroup
	for _, w := range j.writers {
		wg.Go(w.run)
	}
	for _, r := range j.readers {
		wg.Go(r.run)
	}
	j.control(ctx, start, procs, gc)
	j.rep.RunS = time.Since(start).Seconds()
	j.stop.Store(true)
	wg.Wait()
	gc.finish(&j.rep)
	j.rep.GracePeriods = rcu.ReadStats().GracePeriods - periods
	j.count()
	if j.cfg.hooks.run != nil {
		j.cfg.hooks.run(j)
	}
}

// control does what is due, by the clock, until the duration or ctx ends.
func (j *job) control(ctx context.Context, start time.Time, procs int, gc *collector) {
	todo := steps(procs)
	tick := time.NewTicker(min(max(j.cfg.Duration/100, tickLeast), tickMost))
	defer tick.Stop()
	var last snapshot
	var pressed time.Time // begin of the window
	windowDone := false
	lengthen := time.Duration(0) // when the stretch may next be lengthened
	endWindow := func() {
		if !pressed.IsZero() && !windowDone {
			j.pressure.Store(false)
			j.rep.PressureS = time.Since(pressed).Seconds()
			windowDone = true
		}
	}
	defer endWindow()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		elapsed := time.Since(start)
		at := float64(elapsed) / float64(j.cfg.Duration)
		for len(todo) > 0 && at >= todo[0].at {
			runtime.GOMAXPROCS(todo[0].procs)
			j.rep.GOMAXPROCSChanges = append(j.rep.GOMAXPROCSChanges, todo[0].procs)
			todo = todo[1:]
		}
		// The window is as long as planned even if its begin was late, and
		// longer if nothing was refused in it yet; and the run with it. Then grace
		// periods are held up for longer, too: on a busy machine writers free little
		// in a stretch.
		switch {
		case pressed.IsZero():
			if at >= pressureFrom {
				pressed = time.Now()
				j.pressure.Store(true)
			}
		case !windowDone && time.Since(pressed).Seconds() >= (pressureTo-pressureFrom)*j.cfg.Duration.Seconds():
			if j.squeezed() {
				endWindow()
			} else if s := j.stretch.Load(); elapsed >= lengthen && s < int64(longestStretch) {
				j.stretch.Store(2 * s)
				lengthen = elapsed + 4*time.Duration(s)
			}
		}
		over := at >= 1 && (windowDone || elapsed >= j.cfg.Duration+overtime)
		gc.poll(int64(min(at, 1) / gcEach))
		if elapsed-last.at >= tellEvery || over {
			last = j.report(last, elapsed)
		}
		if over {
			return
		}
	}
}

// snapshot has the counts of the last report of progress.
type snapshot struct {
	at                time.Duration
	lookups, replaced uint64
}

// report reports progress since the last snapshot, and returns the next one.
func (j *job) report(last snapshot, elapsed time.Duration) snapshot {
	now := snapshot{at: elapsed}
	for _, r := range j.readers {
		now.lookups += r.lookups.Load()
	}
	for _, w := range j.writers {
		now.replaced += w.replaced.Load()
	}
	s := (now.at - last.at).Seconds()
	text := fmt.Sprintf("running, %.1f s: %s lookups/s, %s replacements/s", elapsed.Seconds(),
		kit.SI(float64(now.lookups-last.lookups)/s), kit.SI(float64(now.replaced-last.replaced)/s))
	if j.pressure.Load() {
		text += ", page lists exhausted"
	}
	all := max(int(j.cfg.Duration.Milliseconds()), 1)
	j.progress.Report(Exec.step(min(int(elapsed.Milliseconds()), all), all, text))
	return now
}
