//go:build holds

package lock

import (
	"testing"
	"time"

	"quiesce/internal/holds"
	"quiesce/preempt"
)

// sections counts the holds of locks with the name while fn runs, and returns the
// longest, in ns.
func sections(name string, fn func()) (held, longest uint64) {
	holds.Start()
	fn()
	holds.Stop()
	for _, s := range holds.Read().Sites {
		if s.Name == name {
			held += s.N
			longest = max(longest, uint64(s.Longest))
		}
	}
	return held, longest
}

// nester is a lock of any kind.
type nester interface {
	Lock()
	LockNested(int)
	TryLock() bool
	Unlock()
}

// heldIsHeld is one hold, during which TryLock makes none.
func heldIsHeld(t *testing.T, l nester) {
	l.Lock()
	if l.TryLock() {
		t.Error("a held lock was taken")
	}
	l.Unlock()
}

// nestedAndTried is two holds.
func nestedAndTried(l nester) {
	l.LockNested(1)
	l.Unlock()
	if l.TryLock() {
		l.Unlock()
	}
}

// A hold is counted once, for whatever way the lock is taken and released.
func TestEveryHoldIsCounted(t *testing.T) {
	var (
		raw   Raw
		spin  Spin
		mutex Mutex
	)
	raw.Init("test.raw")
	spin.Init("test.spin")
	mutex.Init("test.mutex")
	for _, c := range []struct {
		name string
		want uint64
		run  func()
	}{
		{"test.raw", 4, func() {
			raw.Lock()
			raw.Unlock()
			raw.LockIRQ()
			if raw.TryLock() { // held: no hold
				t.Error("a held lock was taken")
			}
			raw.UnlockIRQ()
			nestedAndTried(&raw)
		}},
		{"test.spin", 5, func() {
			heldIsHeld(t, &spin)
			spin.LockIRQ()
			spin.UnlockIRQ()
			nestedAndTried(&spin)
			if spin.TryLockIRQ() {
				spin.UnlockIRQ()
			}
		}},
		{"test.mutex", 3, func() {
			heldIsHeld(t, &mutex)
			nestedAndTried(&mutex)
		}},
	} {
		if n, _ := sections(c.name, c.run); n != c.want {
			t.Errorf("%s: %d holds, want %d", c.name, n, c.want)
		}
		if n, _ := sections(c.name, func() {}); n != 0 {
			t.Errorf("%s: %d holds of nobody", c.name, n)
		}
	}
}

// The clock is the thread's: what a holder sleeps is not its hold, though it may
// be interrupted. What it computes is.
func TestAHoldIsMeasuredInCPUTime(t *testing.T) {
	if !preempt.RT() {
		t.Skip("a holder of a Spin may not sleep")
	}
	var l Spin
	l.Init("test.sleeper")
	const long = 50 * time.Millisecond
	undisturbed := false
	for range 20 {
		_, ns := sections("test.sleeper", func() {
			l.Lock()
			time.Sleep(long)
			l.Unlock()
		})
		undisturbed = undisturbed || time.Duration(ns) < long/2
	}
	if !undisturbed {
		t.Errorf("a hold that sleeps for %v is measured as one that computes", long)
	}
	if _, ns := sections("test.sleeper", func() {
		l.Lock()
		compute(2 * time.Millisecond)
		l.Unlock()
	}); time.Duration(ns) < 500*time.Microsecond {
		t.Errorf("a hold that computes is %v long", time.Duration(ns))
	}
}

// compute takes at least the time of the processor that d is on a machine which
// does nothing else.
func compute(d time.Duration) {
	n := 0
	for range d.Nanoseconds() { // an addition takes less; what counts is that it takes some
		n += n<<1 ^ 1
	}
	sink = n
}

var sink int

// A section does not last longer for what is measured inside it, and one that is
// inside another pinned section is not counted.
func TestWhatIsInsideIsDeducted(t *testing.T) {
	const inside = 10_000
	var outer, inner Raw
	outer.Init("test.outer")
	inner.Init("test.inner")
	nested := func() {
		outer.Lock()
		for range inside {
			inner.Lock()
			inner.Unlock()
		}
		outer.Unlock()
	}
	holds.Start()
	nested()
	holds.Stop()
	var out, in holds.Site
	for _, s := range holds.Read().Sites {
		switch {
		case s.Name == "test.outer":
			out = s
		case s.Name == "test.inner":
			in = s
		}
	}
	if out.N != 1 || in.N != inside {
		t.Errorf("%d outer and %d inner holds, want 1 and %d", out.N, in.N, inside)
	}
	// Two readings of the clock around each inner hold, at the least, are not in
	// the outer one; its own time is some tens of ns for each.
	if all := int64(inside) * 2 * holds.Read().Reading; out.Longest > all {
		t.Errorf("the outer hold lasts %d ns: the clock alone was read for %d", out.Longest, all)
	}
}
