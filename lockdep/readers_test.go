//go:build lockdep

package lockdep_test

import (
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/slab"
)

// What only builds with -tags lockdep see.

var sections = []struct {
	name string
	in   func(func())
}{
	{"ReadLock", func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() }},
	{"ReadLockBH", func(fn func()) { g := rcu.ReadLockBH(); fn(); g.Unlock() }},
	{"rcu.Reader", func(fn func()) { r := rcu.NewReader(); r.ReadLock(); fn(); r.Unlock(); r.Close() }},
	{"rcu.Reader's guard", func(fn func()) { r := rcu.NewReader(); g := r.ReadLock(); fn(); g.Unlock(); r.Close() }},
	{"rcu.Reader, nested", func(fn func()) {
		r := rcu.NewReader()
		r.ReadLock()
		g := r.ReadLock()
		r.ReadLock()
		g.Unlock()
		r.Unlock()
		fn()
		r.Unlock()
		r.Close()
	}},
	{"preempt.Disable", func(fn func()) { p := preempt.Disable(); fn(); p.Enable() }},
	{"preempt.DisableIRQ", func(fn func()) { s := preempt.DisableIRQ(); fn(); s.Restore() }},
	{"preempt.Hardirq", preempt.Hardirq},
	{"lock.Raw", func(fn func()) { var l lock.Raw; l.Lock(); fn(); l.Unlock() }},
}

func TestReadLockHeldIsTrueInEverySectionAndNowhereElse(t *testing.T) {
	collect(t)
	if rcu.ReadLockHeld() {
		t.Error("held outside of any section")
	}
	for _, s := range sections {
		s.in(func() {
			if !rcu.ReadLockHeld() {
				t.Errorf("not held in %s", s.name)
			}
		})
		if rcu.ReadLockHeld() {
			t.Errorf("held after %s", s.name)
		}
	}
	g := rcu.ReadLock()
	apart(func() {
		if rcu.ReadLockHeld() {
			t.Error("held by a goroutine that is in no section")
		}
		g.Adopt()
		if !rcu.ReadLockHeld() {
			t.Error("not held by the goroutine that the guard was handed to")
		}
		g.Unlock()
	})
	if rcu.ReadLockHeld() {
		t.Error("held by a goroutine whose guard another one has unlocked")
	}
}

func TestADereferenceOutsideOfASectionIsReported(t *testing.T) {
	var p atomic.Pointer[int]
	var q slab.Pointer[int]
	for what, load := range map[string]func(){
		"rcu.Dereference":                 func() { rcu.Dereference(&p) },
		"slab.Pointer.Load":               func() { q.Load() },
		"DereferenceProtected by nothing": func() { rcu.DereferenceProtected(&p, false) },
		"LoadProtected by nothing":        func() { q.LoadProtected(false) },
	} {
		r := collect(t)
		load()
		got := r.want(t, what, lockdep.SuspiciousRCU)
		if len(got) == 1 && !strings.Contains(got[0].Text, "lockdep_test.TestADereferenceOutside") {
			t.Errorf("%s: the report does not name the place:\n%s", what, got[0].Text)
		}
	}
	r := collect(t)
	for _, s := range sections {
		s.in(func() { rcu.Dereference(&p); q.Load() })
	}
	m := name(new(lock.Mutex), "m")
	m.Lock()
	rcu.DereferenceProtected(&p, m.Held())
	q.LoadProtected(m.Held())
	m.Unlock()
	q.LoadRaw()
	r.want(t, "in sections, and protected")
}

// synchronizeInside calls rcu.Synchronize in the caller's section, which unlock ends
// when the wait is reported.
func synchronizeInside(unlock func()) {
	inside := make(chan struct{})
	restore := lockdep.SetReporter(func(rep *lockdep.Report) {
		if rep.Kind == lockdep.SuspiciousRCU && strings.Contains(rep.Text, "Illegal waiting for a grace period in RCU read-side critical section") {
			close(inside)
		}
	})
	go func() {
		<-inside
		unlock() // for the other goroutine, which can't
	}()
	rcu.Synchronize()
	restore()
}

func TestSynchronizeInsideOfASectionIsReportedBeforeItHangs(t *testing.T) {
	r := collect(t)
	g := rcu.ReadLock()
	synchronizeInside(g.Unlock)
	r.want(t, "the guard's other end")
}

func TestSynchronizeInsideOfAReadersSectionIsReportedBeforeItHangs(t *testing.T) {
	r := collect(t)
	reader := rcu.NewReader()
	reader.ReadLock()
	synchronizeInside(reader.Unlock)
	reader.Close()
	r.want(t, "the section's other end")
}

func TestTheGuardOfAReaderAfterItsSection(t *testing.T) {
	r := collect(t)
	var p rcu.Pointer[int]
	reader := rcu.NewReader()
	g := reader.ReadLock()
	p.Load(g)
	r.want(t, "a guard in its section")
	reader.Unlock()
	p.Load(g)
	r.want(t, "a guard whose Reader has left", lockdep.SuspiciousRCU)
	reader.Close()
}

func TestAGuardReleasedTwiceOrNever(t *testing.T) {
	r := collect(t)
	g := rcu.ReadLock()
	g.Unlock()
	testkit.Panics(t, g.Unlock, "unlocked before")
	r.want(t, "a second Unlock", lockdep.UnlockBalance)
	lockdep.Reset()
	g = rcu.ReadLock()
	same := g
	g.Unlock()
	same.Unlock()
	r.want(t, "an Unlock of a copy", lockdep.UnlockBalance)
	rcu.Synchronize() // no second Unlock was not counted as another reader's end

	lockdep.Reset()
	var lost rcu.Guard
	apart(func() { lost = rcu.ReadLock() })
	lockdep.CheckExited()
	got := r.want(t, "a guard that was never unlocked", lockdep.StillHeld)
	if len(got) == 1 && (got[0].Classes[0] != "rcu_read_lock" || !strings.Contains(got[0].Text, "TestAGuardReleasedTwiceOrNever")) {
		t.Errorf("the report does not say what and where:\n%s", got[0].Text)
	}
	lost.Unlock()
}

// might_alloc: the objects are there, and no lock is taken.
func TestAnAllocationIsCheckedThoughItNeedsNoLock(t *testing.T) {
	c, err := slab.NewCache[[4]uint64]("lockdep test")
	if err != nil {
		t.Fatal(err)
	}
	c.Free(c.Alloc(gfp.Kernel))
	raw, spin := name(new(lock.Raw), "raw"), name(new(lock.Spin), "spin")
	contexts := map[string]func(func()){
		"task": func(fn func()) { fn() },
		"Spin": func(fn func()) { spin.Lock(); fn(); spin.Unlock() },
		"Raw":  func(fn func()) { raw.Lock(); fn(); raw.Unlock() },
		"read": func(fn func()) { g := rcu.ReadLock(); fn(); g.Unlock() },
	}
	for _, a := range []struct {
		name string
		run  func(f gfp.Flags)
	}{
		{"slab", func(f gfp.Flags) { c.Free(c.Alloc(f)) }},
		{"page", func(f gfp.Flags) {
			if p := page.Default().Alloc(0, f); p != nil {
				page.Default().Free(p, 0)
			}
		}},
		{"kmalloc", func(f gfp.Flags) { slab.Kfree(slab.Kmalloc(64, f)) }},
	} {
		a.run(gfp.Kernel) // makes what there is to be made
		for _, c := range []struct {
			flags gfp.Flags
			in    string
			bad   bool
		}{
			{gfp.Kernel, "task", false}, {gfp.Kernel, "Spin", true}, {gfp.Kernel, "Raw", true}, {gfp.Kernel, "read", true},
			{gfp.NoWait, "task", false}, {gfp.NoWait, "Spin", false}, {gfp.NoWait, "Raw", true}, {gfp.NoWait, "read", false},
			{gfp.Atomic, "task", false}, {gfp.Atomic, "Spin", false}, {gfp.Atomic, "Raw", true}, {gfp.Atomic, "read", false},
			{gfp.NoLocks, "task", false}, {gfp.NoLocks, "Spin", false}, {gfp.NoLocks, "Raw", false}, {gfp.NoLocks, "read", false},
			{gfp.Kernel | gfp.NoLocks, "Raw", false},
		} {
			r := collect(t)
			contexts[c.in](func() { a.run(c.flags | gfp.NoWarn) })
			if got := r.kinds(); (got != "") != c.bad {
				t.Errorf("%s with %s under %s: reported %q, want a report: %v", a.name, c.flags, c.in, got, c.bad)
			}
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}

func TestAStallReportTellsWhoIsInTheSectionAndSinceWhere(t *testing.T) {
	collect(t)
	old, timeout := slog.Default(), rcu.StallTimeout
	defer func() { slog.SetDefault(old); rcu.StallTimeout = timeout }()
	rcu.StallTimeout = 20 * time.Millisecond
	lines := make(chan string, 10)
	slog.SetDefault(slog.New(slog.NewTextHandler(lineWriter(lines), nil)))
	g := rcu.ReadLock()
	c := rcu.StartPoll()
	line := <-lines
	g.Unlock()
	for !rcu.Poll(c) {
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(line, "goroutine=") || !strings.Contains(line, "TestAStallReportTells") {
		t.Errorf("the report is %q", line)
	}
}

type lineWriter chan<- string

func (w lineWriter) Write(b []byte) (int, error) { w <- string(b); return len(b), nil }

func TestFreeRCUIsSilentInEveryContext(t *testing.T) {
	r := collect(t)
	c, err := slab.NewCache[[4]uint64]("lockdep free test")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sections {
		s.in(func() {
			for range 600 {
				if p := c.Alloc(gfp.NoLocks | gfp.NoWarn); p != nil {
					c.FreeRCU(p)
				}
			}
		})
		for range 600 { // so that there is something next time
			c.Free(c.Alloc(gfp.Kernel))
		}
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	r.want(t, "FreeRCU, and Close")
}
