//quiescevet:ignore lockdep is to report what these tests do

package lockdep_test

import (
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/pin"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
	"quiesce/rcu"
)

func TestAReportTellsWhoWhatAndWhere(t *testing.T) {
	r := collect(t)
	raw, spin := name(new(lock.Raw), "registry"), name(new(lock.Spin), "zone")
	raw.Lock()
	spin.Lock()
	spin.Unlock()
	raw.Unlock()
	got := r.want(t, "a Spin under a Raw", lockdep.InvalidWaitContext)
	if len(got) != 1 {
		return
	}
	for _, text := range []string{
		"\n=============================\n[ BUG: Invalid wait context ]\n",
		fmt.Sprintf("goroutine %d is trying to lock:\n", got[0].Goroutine),
		" (zone){....}-{3:3}, at: lockdep_test.TestAReportTellsWhoWhatAndWhere (report_test.go:",
		"other info that might help us debug this:\ncontext-{5:5}\n",
		fmt.Sprintf("1 lock held by goroutine %d:\n #0: 0x", got[0].Goroutine),
		" (registry){+.+.}-{2:2}, at: lockdep_test.TestAReportTellsWhoWhatAndWhere (report_test.go:",
		"#0 (registry) was taken at:\n",
		"stack backtrace:\n",
	} {
		if !strings.Contains(got[0].Text, text) {
			t.Errorf("the report lacks %q:\n%s", text, got[0].Text)
		}
	}
	if n := strings.Count(got[0].Text, "report_test.go:"); n < 4 {
		t.Errorf("the report names this file %d times, want the two sites and both stacks:\n%s", n, got[0].Text)
	}
}

func TestAReportGoesToSlogAtLevelError(t *testing.T) {
	out, ok := child("a report to slog", "QUIESCE=lockdep=1")
	if !ok || !strings.Contains(out, "level=ERROR") || !strings.Contains(out, "Invalid wait context") {
		t.Errorf("survived %v, slog wrote %q", ok, out)
	}
}

// A reporter is a user's code: it may lock, write files, wait.
func TestTheReporterRunsUnpinnedAndBeforeThePinnedSectionGoesOn(t *testing.T) {
	if runtime.GOMAXPROCS(0) < 2 {
		old := runtime.GOMAXPROCS(2)
		defer runtime.GOMAXPROCS(old)
	}
	lockdep.Reset()
	defer lockdep.Reset()
	var mu sync.Mutex
	var pinned, reported atomic.Bool
	defer lockdep.SetReporter(func(*lockdep.Report) {
		mu.Lock()
		pinned.Store(preempt.Atomic())
		time.Sleep(time.Millisecond)
		fmt.Fprint(os.Stderr) // a system call
		mu.Unlock()
		reported.Store(true)
	})()
	// The section waits 20 ms for the reporter's goroutine to begin: on a machine
	// that is busy it may not, some of the time.
	before := false
	for i := 0; i < 50 && !before; i++ {
		lockdep.Reset()
		reported.Store(false)
		s := name(new(lock.Spin), "s")
		p := pin.Disable()
		s.Lock()
		before = reported.Load()
		s.Unlock()
		p.Enable()
		testkit.Eventually(t, 20*time.Second, "the report is delivered", reported.Load)
		if pinned.Load() {
			t.Fatal("the reporter ran pinned")
		}
	}
	if !before {
		t.Error("the pinned section went on before the report was delivered, in 50 of 50")
	}
}

// On one P no other goroutine runs while this one is pinned: the report comes when
// the lock that pins it is released.
func TestOnOnePAReportWaitsForTheEndOfTheSection(t *testing.T) {
	r := collect(t)
	old := runtime.GOMAXPROCS(1)
	defer runtime.GOMAXPROCS(old)
	raw, s := name(new(lock.Raw), "raw"), name(new(lock.Spin), "s")
	raw.Lock()
	s.Lock()
	s.Unlock()
	raw.Unlock()
	r.want(t, "right after the Unlock", lockdep.InvalidWaitContext)
}

func TestAReporterMayTakeLocksAndBreakRules(t *testing.T) {
	lockdep.Reset()
	defer lockdep.Reset()
	a, b, m := name(new(lock.Mutex), "A"), name(new(lock.Mutex), "B"), name(new(lock.Mutex), "m")
	var kinds []string
	defer lockdep.SetReporter(func(rep *lockdep.Report) {
		if kinds = append(kinds, rep.Kind); len(kinds) > 1 {
			return // about the reporter itself
		}
		a.Lock()
		b.Lock()
		b.Unlock()
		a.Unlock()
		b.Lock()
		a.Lock()
		a.Unlock()
		b.Unlock()
	})()
	m.Unlock()
	if want := []string{lockdep.UnlockBalance, lockdep.Circular}; !slices.Equal(kinds, want) {
		t.Errorf("reports %q, want that of the unlock and that of the reporter's own circle: %q", kinds, want)
	}
}

func init() {
	scenarios["a report to slog"] = func() {
		slog.SetDefault(slog.New(slog.NewTextHandler(os.Stdout, nil)))
		s, m := name(new(lock.Spin), "s"), name(new(lock.Mutex), "m")
		s.Lock()
		m.Lock()
		m.Unlock()
		s.Unlock()
	}
	scenarios["Raw taken twice"] = func() {
		lockdep.Enable()
		l := name(new(lock.Raw), "registry")
		l.Lock()
		l.Lock()
	}
	scenarios["Synchronize while pinned"] = func() {
		lockdep.Enable()
		preempt.Disable()
		rcu.Synchronize()
	}
	scenarios["sleeping lock contended while pinned"] = func() {
		lockdep.Enable()
		// The collector would stop the holder and wait for the pinned one.
		debug.SetGCPercent(-1)
		runtime.GC()
		m := name(new(lock.Mutex), "m")
		held := make(chan struct{})
		go func() {
			m.Lock()
			close(held)
			time.Sleep(50 * time.Millisecond)
			m.Unlock()
		}()
		<-held
		p := pin.Disable()
		m.Lock()
		m.Unlock()
		p.Enable()
		fmt.Println("survived")
	}
	scenarios["as the environment says"] = func() {
		fmt.Println("enabled:", lockdep.Enabled())
		raw, s := name(new(lock.Raw), "raw"), name(new(lock.Spin), "s")
		raw.Lock()
		s.Lock()
		s.Unlock()
		raw.Unlock()
		fmt.Println("reports:", lockdep.ReadStats().Reports)
	}
	scenarios["held before Enable"] = func() {
		m, s, rw := name(new(lock.Mutex), "m"), name(new(lock.Spin), "s"), name(new(lock.RW), "rw")
		m.Lock()
		s.Lock()
		rw.RLock()
		lockdep.Enable()
		rw.RUnlock()
		s.Unlock()
		m.Unlock()
		fmt.Println("reports:", lockdep.ReadStats().Reports)
	}
}

func TestAReportComesBeforeTheEndOfTheProcess(t *testing.T) {
	for scenario, want := range map[string][2]string{
		"Raw taken twice":          {"possible recursive locking detected", "taken twice"},
		"Synchronize while pinned": {"suspicious RCU usage", "waiting for a grace period in a raw atomic context"},
	} {
		for _, env := range []string{"GOMAXPROCS=4", "GOMAXPROCS=1"} {
			out, ok := child(scenario, env)
			if first, then := strings.Index(out, want[0]), strings.LastIndex(out, want[1]); ok || first < 0 || then < first {
				t.Errorf("%s, %s: survived %v, want the report, then the panic:\n%s", scenario, env, ok, out)
			}
		}
	}
}

func TestASleepingLockContendedWhilePinnedIsAReportAndNoCrash(t *testing.T) {
	out, ok := child("sleeping lock contended while pinned", "GOMAXPROCS=4")
	if !ok || !strings.Contains(out, "Invalid wait context") || !strings.Contains(out, "survived") {
		t.Errorf("survived %v:\n%s", ok, out)
	}
}

func TestTheEnvironmentChoosesTheMode(t *testing.T) {
	for _, c := range []struct{ env, enabled, reports string }{
		{"QUIESCE=", fmt.Sprint(lockdep.Tagged), map[bool]string{false: "0", true: "1"}[lockdep.Tagged]},
		{"QUIESCE=lockdep=1", "true", "1"},
		{"QUIESCE=lockdep=0", "false", "0"},
		{"QUIESCE=lockdep=1,prove_raw_lock_nesting=0", "true", "0"},
		{"QUIESCE=lockdep=1,prove_raw_lock_nesting=1", "true", "1"},
		{"QUIESCE=lockdep=1,preempt_rt=0", "true", "1"},
		{"QUIESCE=lockdep=1,preempt_rt=0,prove_raw_lock_nesting=0", "true", "0"},
	} {
		out, ok := child("as the environment says", c.env)
		if !ok || !strings.Contains(out, "enabled: "+c.enabled+"\n") || !strings.Contains(out, "reports: "+c.reports+"\n") {
			t.Errorf("%s: want enabled %s, reports %s (a Spin under a Raw); survived %v:\n%s", c.env, c.enabled, c.reports, ok, out)
		}
	}
	out, ok := child("as the environment says", "QUIESCE=lockdep=1,panic_on_report=1")
	if ok || !strings.Contains(out, "panic: quiesce/lockdep: QUIESCE=panic_on_report: Invalid wait context") {
		t.Errorf("panic_on_report=1: survived %v:\n%s", ok, out)
	}
}

func TestLocksThatWereHeldBeforeEnableAreNoFault(t *testing.T) {
	out, ok := child("held before Enable", "QUIESCE=lockdep=0")
	if !ok || !strings.Contains(out, "reports: 0\n") {
		t.Errorf("survived %v:\n%s", ok, out)
	}
}

// fakeT is a test that calls lockdeptest.Check.
type fakeT struct {
	testing.TB
	errors, logs []string
	cleanups     []func()
}

func (f *fakeT) Helper()           {}
func (f *fakeT) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *fakeT) Error(args ...any) { f.errors = append(f.errors, fmt.Sprint(args...)) }
func (f *fakeT) Log(args ...any)   { f.logs = append(f.logs, fmt.Sprint(args...)) }
func (f *fakeT) end() {
	for _, fn := range f.cleanups {
		fn()
	}
}

func TestCheckFailsATestOnAReport(t *testing.T) {
	for _, c := range []struct {
		name string
		body func()
		want string // of the error; "": none
	}{
		{"clean", func() {
			m := name(new(lock.Mutex), "m")
			m.Lock()
			m.Unlock()
		}, ""},
		{"a fault", func() {
			s, m := name(new(lock.Spin), "s"), name(new(lock.Mutex), "m")
			s.Lock()
			m.Lock()
			m.Unlock()
			s.Unlock()
		}, "Invalid wait context"},
		{"a goroutine that ended with a lock", func() {
			apart(func() { name(new(lock.Mutex), "left behind").Lock() })
		}, "ended and still has locks held"},
	} {
		lockdep.Reset()
		f := new(fakeT)
		lockdeptest.Check(f)
		c.body()
		f.end()
		if c.want == "" && len(f.errors) > 0 || c.want != "" && (len(f.errors) != 1 || !strings.Contains(f.errors[0], c.want)) {
			t.Errorf("%s: errors %q, want %q", c.name, f.errors, c.want)
		}
	}
	lockdep.Reset()
}
