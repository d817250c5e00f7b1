package gfp

import "testing"

// The table of the package comment, row by row, with every modifier.
func TestFlagsPermitExactlyWhatTheTableSays(t *testing.T) {
	for _, c := range []struct {
		flags                           Flags
		sleep, reserve, lock, warn, zer bool
		name                            string
	}{
		{Kernel, true, false, true, true, false, "Kernel"},
		{Atomic, false, true, true, true, false, "Atomic"},
		{NoWait, false, false, true, true, false, "NoWait"},

		{Kernel | NoLocks, false, false, false, true, false, "Kernel|NoLocks"},
		{Atomic | NoLocks, false, true, false, true, false, "Atomic|NoLocks"},
		{NoWait | NoLocks, false, false, false, true, false, "NoWait|NoLocks"},

		{Kernel | NoWarn, true, false, true, false, false, "Kernel|NoWarn"},
		{Atomic | NoWarn, false, true, true, false, false, "Atomic|NoWarn"},
		{Kernel | Zero, true, false, true, true, true, "Kernel|Zero"},
		{NoWait | NoLocks | NoWarn | Zero, false, false, false, false, true, "NoWait|NoLocks|NoWarn|Zero"},

		{Kernel | Atomic, true, true, true, true, false, "Kernel|Atomic"},
		{Kernel | Atomic | NoLocks, false, true, false, true, false, "Kernel|Atomic|NoLocks"},
		{Kernel | 1<<5, true, false, true, true, false, "Kernel|invalid"},
		{1 << 31, false, false, true, true, false, "NoWait|invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := c.flags.CanSleep(); got != c.sleep {
				t.Errorf("CanSleep() = %v, want %v", got, c.sleep)
			}
			if got := c.flags.CanReserve(); got != c.reserve {
				t.Errorf("CanReserve() = %v, want %v", got, c.reserve)
			}
			if got := c.flags.CanLock(); got != c.lock {
				t.Errorf("CanLock() = %v, want %v", got, c.lock)
			}
			if got := c.flags.Warns(); got != c.warn {
				t.Errorf("Warns() = %v, want %v", got, c.warn)
			}
			if got := c.flags&Zero != 0; got != c.zer {
				t.Errorf("Zero set = %v, want %v", got, c.zer)
			}
			if got := c.flags.String(); got != c.name {
				t.Errorf("String() = %q, want %q", got, c.name)
			}
		})
	}
}

func TestZeroValueIsNoWait(t *testing.T) {
	if f := Flags(0); f != NoWait {
		t.Fatalf("Flags(0) = %v, want NoWait", f)
	}
}

// NoLocks wins over everything: no combination of flags both forbids locks
// and lets the allocation sleep.
func TestNoLocksNeverSleeps(t *testing.T) {
	for f := Flags(0); f < 1<<5; f++ {
		if !f.CanLock() && f.CanSleep() {
			t.Errorf("%v may sleep but may not take a lock", f)
		}
	}
}
