package page

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// Tests that need a process of their own.

// child runs the calling test in a process of its own, where it finds the
// scenario and the options.
func child(t *testing.T, scenario, quiesce string) string {
	t.Helper()
	out, _ := testkit.OfTest(t, scenario, "QUIESCE="+quiesce).Output()
	return out
}

// What the mail is about: without NoLocks an allocation in a raw atomic
// context takes the sleeping zone lock, and if that lock is held
// elsewhere the process ends.
func TestRawAtomicNoWaitDiesOnTheContendedZoneLock(t *testing.T) {
	if what := testkit.Scenario(); what != "" {
		f := gfp.NoWait | gfp.NoWarn
		if what == "NoLocks" {
			f |= gfp.NoLocks
		}
		a, err := New(Config{Name: "raw"})
		if err != nil {
			t.Fatal(err)
		}
		locked, done := make(chan bool), make(chan bool)
		go func() {
			a.core.LockZone()
			close(locked)
			<-done
			a.core.UnlockZone()
		}()
		<-locked
		pin := preempt.Disable()
		p := a.Alloc(4, f)
		pin.Enable()
		close(done)
		fmt.Println("survived, got memory:", p != nil)
		return
	}
	if out := child(t, "NoWait", "preempt_rt=1"); !strings.Contains(out, "schedule: holding locks") ||
		strings.Contains(out, lockdep.InvalidWaitContext) != lockdep.Tagged {
		t.Errorf("NoWait: %.500s", out)
	}
	if out := child(t, "NoLocks", "preempt_rt=1"); !strings.Contains(out, "survived, got memory: false") {
		t.Errorf("NoLocks: %.500s", out)
	}
}

func TestKernelInARawAtomicContextSaysSo(t *testing.T) {
	if testkit.Scenario() != "" {
		a, err := New(Config{Name: "raw"})
		if err != nil {
			t.Fatal(err)
		}
		pin := preempt.Disable()
		p := a.Alloc(0, gfp.Kernel)
		pin.Enable()
		fmt.Println("survived, got memory:", p != nil)
		return
	}
	out := child(t, "1", "")
	if lockdep.Tagged { // a report, and no memory: there is none that is populated
		if !strings.Contains(out, lockdep.Sleeping) || !strings.Contains(out, "survived, got memory: false") {
			t.Errorf("%.5000s", out)
		}
		return
	}
	if !strings.Contains(out, "allocator raw: gfp.Kernel allocation in a raw atomic context") {
		t.Errorf("%.500s", out)
	}
}

// Without an option the default allocator's limit is automatic. It is found when
// memory is first needed: an import reads no files.
func TestDefaultHasTheAutomaticLimit(t *testing.T) {
	if testkit.Scenario() != "" {
		early := Default().limitNow()
		p := Default().Alloc(0, gfp.Kernel)
		limit := Default().limitNow()
		s := Default().Stats()
		Default().Free(p, 0)
		fmt.Println("early", early, "automatic", limit == AutoLimit(), "shown", s.Limit == limit, "reserve", s.Reserve == watermark(limit),
			"as without", Default().rng.huge == asTheSystem && Default().core.Limit == 0)
		return
	}
	const want = "early 0 automatic true shown true reserve true as without true"
	for _, env := range [][]string{{"QUIESCE="}, {"QUIESCE=membarrier=0"}, {"QUIESCE=limit=auto"}, {"QUIESCE=", "GOMEMLIMIT=256MiB"}} {
		if out, _ := testkit.OfTest(t, "1", env...).Output(); !strings.Contains(out, want) {
			t.Errorf("%v: %.300q, want %q", env, out, want)
		}
	}
}

// An automatic limit is a limit.
func TestTheAutomaticLimitIsNotExceeded(t *testing.T) {
	a := newTest(t, Config{})
	var ps []unsafe.Pointer
	for a.Stats().Resident < 4<<20 {
		ps = append(ps, a.Alloc(0, quiet))
	}
	a.setLimit(8 << 20)
	for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
		ps = append(ps, p)
	}
	if s := a.Stats(); s.Limit != 8<<20 || s.Resident > s.Limit || s.Resident < s.Limit/16*15 {
		t.Errorf("%+v", s)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

func TestDefaultTakesItsLimitFromTheEnvironment(t *testing.T) {
	if testkit.Scenario() != "" {
		fmt.Println("limit", Default().Stats().Limit)
		return
	}
	for v, want := range map[string]string{
		"limit=64M":            "limit 67108864",
		"membarrier=0,limit=0": "limit 0",
		"limit=lots":           "bad option QUIESCE=limit=lots: want a number of bytes",
		"limit=1K":             "below",
	} {
		if out := child(t, "1", v); !strings.Contains(out, want) {
			t.Errorf("QUIESCE=%s: %.300q, want %q", v, out, want)
		}
	}
}
