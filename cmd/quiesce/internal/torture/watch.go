package torture

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"quiesce/rcu"
)

const (
	watchEvery   = 50 * time.Millisecond
	afterFailure = 500 * time.Millisecond // for which a session continues after its first failure
)

// watch is the session's main loop: it reports progress, samples memory, and
// stops the session at its time, after a failure, or when it hangs.
func (s *session) watch(ctx context.Context, report func(Status)) (hung bool) {
	end := s.start.Add(s.length)
	limit := seconds(s.p.watchdog)
	lastVer, lastMove := s.version.Load(), time.Now()
	last, lastTold := s.status(), time.Now()
	var failed time.Time
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	defer func() {
		s.stop.Store(true)
		close(s.done)
	}()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
		now := time.Now()
		s.memSamples = append(s.memSamples, s.pages.Stats().Resident)
		if v := s.version.Load(); v != lastVer || s.paused.Load() {
			lastVer, lastMove = v, now
		}
		if d := now.Sub(lastMove); d > limit {
			s.stuck(fmt.Sprintf("no new version in %v", d.Round(time.Millisecond)))
			return true
		}
		if now.Sub(lastTold) >= seconds(s.p.statInterval) {
			st := s.status()
			st.rates(last, now.Sub(lastTold))
			report(st)
			last, lastTold = st, now
		}
		if failed.IsZero() && s.broken() {
			failed = now
		}
		if now.After(end) || s.maps.done() || !failed.IsZero() && now.Sub(failed) > afterFailure {
			return false
		}
	}
}

// broken reports whether anything failed so far.
func (s *session) broken() bool {
	s.mu.Lock()
	n := len(s.failures)
	s.mu.Unlock()
	t := s.tallies()
	for _, w := range t.wrong {
		n += int(w)
	}
	return n > 0 || s.cookieErrors.Load() > 0 || s.bulkErrors.Load() > 0 || s.owners.errors() > 0
}

// within runs fn and reports whether it was not done in time.
func (s *session) within(what string, fn func()) (hung bool) {
	done := make(chan struct{})
	go func() {
		fn()
		close(done)
	}()
	limit := seconds(s.p.watchdog)
	select {
	case <-done:
		return false
	case <-time.After(limit):
		s.stuck(fmt.Sprintf("%s took more than %v, at %q", what, limit, *s.step.Load()))
		return true
	}
}

// stuck reports a hang, with every goroutine's stack.
func (s *session) stuck(what string) {
	st := rcu.ReadStats()
	s.fail("hang", "%s. Writer stall state RTWS_%s ver %d live %d async %d; rcu: %+v", what, *s.writerState.Load(), s.version.Load(), s.live.Load(), s.async.Load(), st)
	buf := make([]byte, 1<<20)
	buf = buf[:runtime.Stack(buf, true)]
	fmt.Fprintf(s.stacks, "%s: hang: %s\nWriter stall state RTWS_%s\n%s\n", s.name, what, *s.writerState.Load(), buf)
}

// account closes everything and checks the figures against each other. All
// threads have ended.
func (s *session) account() {
	if n := s.live.Load(); n != 0 {
		s.fail("accounts", "%d objects of the pipe are neither freed nor in it", n)
	}
	if a, f := s.allocs.Load(), s.frees.Load(); a != f {
		s.fail("accounts", "%d objects of the pipe were allocated and %d freed", a, f)
	}
	var allocated, freed uint64
	for _, k := range s.kfreers {
		allocated += k.allocated.Load()
		freed += k.freed.Load() + k.direct.Load()
	}
	if allocated != freed {
		s.fail("accounts", "%d objects of the kfree part were allocated and %d freed", allocated, freed)
	}
	for i, st := range append(s.heap.Stats(), s.kcache.Stats(), s.cache.Stats()) {
		if i <= len(s.heap.Stats()) { // the pipe's cache is the last
			for j, n := range []uint64{st.RCUArrays, st.Reused, st.Bulk, st.Fallback} {
				s.routes[j] += n
			}
		}
		if st.RCUArrays != st.Reused+st.Bulk || st.Fallback != st.FallbackFreed {
			s.fail("accounts", "cache %s: RCUArrays %d, Reused %d + Bulk %d; Fallback %d, FallbackFreed %d",
				st.Name, st.RCUArrays, st.Reused, st.Bulk, st.Fallback, st.FallbackFreed)
		}
	}
	if st := s.pages.Stats(); st.Limit > 0 && st.Peak > st.Limit {
		s.fail("accounts", "peak memory of %d bytes is above the limit of %d", st.Peak, st.Limit)
	}
	if n := s.bulkErrors.Load(); n > 0 {
		s.fail("accounts", "%d objects that a thread kept for itself had a second owner", n)
	}
	if n := s.owners.errors(); n > 0 {
		s.fail("stock", "%d times a Sheaf did not give what it had in stock", n)
	}
	if n := s.cookieErrors.Load(); n > 0 {
		s.fail("cookie errors", "%d cookies were not done after a grace period that began later", n)
	}
	for i, n := range s.tallies().wrong {
		if n == 0 {
			continue
		}
		first := s.firstWrong(i)
		s.fail(wrongNames[i], "%s", first)
		s.mu.Lock()
		for j := range s.failures {
			if s.failures[j].Kind == wrongNames[i] {
				s.failures[j].Count = n
			}
		}
		s.mu.Unlock()
	}
}

// close frees everything and reports leaks.
func (s *session) close() {
	s.cache.Shrink()
	s.kcache.Shrink()
	s.heap.Shrink()
	s.pages.Shrink()
	s.memEnd = s.pages.Stats().Resident
	for _, c := range []struct {
		name  string
		close func() error
	}{{"cache torture", s.cache.Close}, {"cache kfree", s.kcache.Close}, {"heap", s.heap.Close}, {"allocator", s.pages.Close}} {
		if err := c.close(); err != nil {
			s.fail("leak", "%s: %v", c.name, err)
		}
	}
}

// firstWrong describes the first failure of a kind. Readers have ended.
func (s *session) firstWrong(kind int) string {
	all := append([]*tally{}, s.handed...)
	for _, r := range s.readers {
		all = append(all, &r.t)
	}
	all = append(all, s.exits.kept...)
	for _, t := range all {
		if t.wrong[kind].Load() > 0 {
			f := &t.first[kind]
			where := f.plan.String()
			if f.inIRQ {
				where = "at the section's beginning, or in a handler"
			}
			return fmt.Sprintf("want %#x, got %#x, grace periods %d to %d, section: %s", f.want, f.got, f.gp, f.gpEnd, where)
		}
	}
	return "in a reader that has exited"
}
