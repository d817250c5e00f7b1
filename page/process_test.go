package page

import (
	"fmt"
	"strings"
	"testing"

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
