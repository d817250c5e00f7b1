package page

import (
	"fmt"
	"math"
	"testing"
	"testing/fstest"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/memlimit"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

func TestAutoLimitIsThreeQuartersOfWhatGoLeaves(t *testing.T) {
	for _, c := range []struct{ memory, goLimit, want int64 }{
		{0, math.MaxInt64, 0},
		{1 << 30, math.MaxInt64, 768 << 20},
		{1 << 30, 512 << 20, 384 << 20},
		{1 << 30, 2 << 30, 128 << 20}, // GOMEMLIMIT is more than there is
		{1 << 40, math.MaxInt64, maxReserve},
	} {
		if got := autoLimit(c.memory, c.goLimit); got != c.want {
			t.Errorf("%d bytes, GOMEMLIMIT %d: %d, want %d", c.memory, c.goLimit, got, c.want)
		}
	}
	a := newTest(t, Config{Limit: AutoLimit()})
	if a.limit != AutoLimit() {
		t.Errorf("limit %d", a.limit)
	}
}

// autoLimitedTo returns an allocator with an automatic limit, and what changes the
// memory of the control group that it reads.
func autoLimitedTo(t *testing.T, memory int) (a *Allocator, change func(memory int)) {
	tree := fstest.MapFS{
		"proc/self/cgroup":         {Data: []byte("0::/\n")},
		"proc/self/mountinfo":      {Data: []byte("31 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")},
		"sys/fs/cgroup/memory.max": {},
	}
	set := func(memory int) { tree["sys/fs/cgroup/memory.max"].Data = fmt.Append(nil, memory, "\n") }
	set(memory)
	a = newTest(t, Config{})
	a.auto = &autoLimited{read: func() int64 { return autoLimit(memlimit.Read(tree), math.MaxInt64) }}
	a.findLimit()
	return a, func(memory int) {
		set(memory)
		a.auto.after.Store(0) // as if the last reading were long ago
	}
}

// fillUp allocates until there is no memory left.
func fillUp(a *Allocator, f gfp.Flags) (all []unsafe.Pointer) {
	for {
		p := a.Alloc(MaxOrder, f|gfp.NoWarn)
		if p == nil {
			return all
		}
		all = append(all, p)
	}
}

// A control group gets more memory, or less, while the program runs. It is noticed
// by the allocation that finds no memory, but not by one that may not sleep.
func TestALimitThatChangesIsNoticedWhenMemoryIsShort(t *testing.T) {
	a, change := autoLimitedTo(t, 32<<20)
	all := fillUp(a, gfp.NoWait)
	if got := a.Stats().Limit; got != 24<<20 || len(all) == 0 {
		t.Fatalf("limit %d, %d blocks", got, len(all))
	}
	change(128 << 20)
	if p := a.Alloc(MaxOrder, gfp.NoWait|gfp.NoWarn); p != nil || a.Stats().Limit != 24<<20 {
		t.Errorf("a request that may not sleep read files: limit %d", a.Stats().Limit)
	}
	pinned := preempt.Disable()
	p := a.Alloc(MaxOrder, gfp.NoWait|gfp.NoLocks|gfp.NoWarn)
	pinned.Enable()
	if p != nil || a.Stats().Limit != 24<<20 {
		t.Errorf("a raw atomic context read files: limit %d", a.Stats().Limit)
	}
	if p = a.Alloc(MaxOrder, gfp.Kernel); p == nil || a.Stats().Limit != 96<<20 {
		t.Fatalf("limit %d, want %d", a.Stats().Limit, 96<<20)
	}
	all = append(all, p)
	all = append(all, fillUp(a, gfp.NoWait)...)

	change(64 << 20)
	a.backgroundRound()
	s := a.Stats()
	if s.Limit != 48<<20 || s.Resident <= s.Limit {
		t.Errorf("limit %d, want %d; %d bytes in use", s.Limit, 48<<20, s.Resident)
	}
	for ; len(all) > 0 && a.Stats().InUse > 56<<20; all = all[1:] {
		a.Free(all[0], MaxOrder)
		a.Shrink()
		if p := a.Alloc(MaxOrder, gfp.NoWait|gfp.NoWarn); p != nil {
			t.Fatalf("memory beyond a limit that fell: %d bytes in use", a.Stats().InUse)
		}
	}
	for _, p := range all {
		a.Free(p, MaxOrder)
	}
	a.flushLists()
	a.backgroundRound()
	if s := a.Stats(); s.Resident > s.Limit {
		t.Errorf("%d bytes are resident, the limit is %d", s.Resident, s.Limit)
	}
	checkZone(t, a)
}

// The files are read once in a while only.
func TestTheLimitIsNotReadAllTheTime(t *testing.T) {
	a, _ := autoLimitedTo(t, 32<<20)
	n := 0
	read := a.auto.read
	a.auto.read = func() int64 { n++; return read() }
	a.auto.after.Store(1 << 62)
	for range 10 {
		a.findLimitAgain()
	}
	a.auto.after.Store(0)
	done := testkit.AsyncN(4, func(int) { a.findLimitAgain() })
	<-done
	if n != 1 || a.auto.after.Load() == 0 {
		t.Errorf("read %d times", n)
	}
}
