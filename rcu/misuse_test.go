package rcu

import (
	"runtime"
	"strings"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

func TestAGuardIsUnlockedOnce(t *testing.T) {
	before := Synchronize                                   // it must end afterwards
	defer depcheck.SetReporter(func(*depcheck.Report) {})() // lockdep reports it too
	g := ReadLock()
	g.Unlock()
	testkit.Panics(t, g.Unlock, "quiesce/rcu: Unlock", "unlocked before")
	testkit.Panics(t, g.Unlock, "unlocked before")
	testkit.Within(t, "the grace period", testkit.Async(before))
}

// The classic: an early return unlocks what a defer unlocks again. The panic comes
// before the second Unlock counts, so another reader stays protected.
func TestADeferredSecondUnlockPanicsAndDoesNotCount(t *testing.T) {
	defer depcheck.SetReporter(func(*depcheck.Report) {})() // lockdep reports it too
	reader := ReadLock()
	testkit.Panics(t, func() {
		g := ReadLock()
		defer g.Unlock()
		g.Unlock()
	}, "unlocked before")
	ended := testkit.Async(Synchronize)
	for range 100 {
		runtime.Gosched()
	}
	if testkit.IsClosed(ended) {
		t.Error("the grace period ended before the other reader's section")
	}
	reader.Unlock()
	testkit.Within(t, "the grace period", ended)
}

func TestAZeroGuardCannotBeUnlocked(t *testing.T) {
	var g Guard
	testkit.Panics(t, g.Unlock, "quiesce/rcu: Unlock", "zero Guard")
	var bh GuardBH
	testkit.Panics(t, bh.Unlock, "zero Guard")
}

func TestReadEndsTheSectionHoweverTheFunctionEnds(t *testing.T) {
	for name, fn := range map[string]func(Guard){
		"return": func(Guard) {},
		"panic":  func(Guard) { panic("the function's own") },
		"Goexit": func(Guard) { runtime.Goexit() },
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			go func() {
				defer close(done)
				defer func() { recover() }()
				Read(fn)
			}()
			testkit.Within(t, "Read", done)
			testkit.Within(t, "the grace period", testkit.Async(Synchronize))
		})
	}
}

func TestReadProtectsUntilTheFunctionReturns(t *testing.T) {
	var ended <-chan struct{}
	Read(func(Guard) {
		ended = testkit.Async(Synchronize)
		for range 100 {
			runtime.Gosched()
		}
		if testkit.IsClosed(ended) {
			t.Error("the grace period ended in the section")
		}
	})
	testkit.Within(t, "the grace period", ended)
}

func TestALentGuardCannotBeUnlocked(t *testing.T) {
	Read(func(g Guard) {
		testkit.Panics(t, g.Unlock, "quiesce/rcu: Unlock", "lent")
		h := g
		testkit.Panics(t, h.Unlock, "lent")
	})
	bh := ReadLockBH()
	g := bh.Guard()
	bh.Unlock() // first: with preempt_rt=0 its section is pinned
	testkit.Panics(t, g.Unlock, "lent")
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}

// Both a guard and its copy were unlocked: the driver sees more exits than entries.
func TestMoreUnlocksThanReadLocksEndTheProcess(t *testing.T) {
	for _, scenario := range []string{"copies", "copies, another reader"} {
		t.Run(scenario, func(t *testing.T) {
			out, err := child(scenario)
			if err == nil || !strings.Contains(out, "more Unlocks than ReadLocks") {
				t.Errorf("%v\n%s", err, out)
			}
			if n := strings.Count(out, "recovered"); n != 2 {
				t.Errorf("%d of 2 waits panicked:\n%s", n, out)
			}
		})
	}
}

// unlockTwice unlocks a guard and its copy. The count is made by hand, since
// lockdep would not count the second one.
func unlockTwice() {
	g := ReadLock()
	h := g
	g.Unlock()
	percpu.Pin().Unlock[h.idx&guardIndex]++
	sys.ProcUnpin()
}

func waitAndRecover() {
	defer func() {
		if r := recover(); r != nil {
			println("recovered")
		}
	}()
	Synchronize()
}

func init() {
	scenarios["copies"] = func() {
		unlockTwice()
		waitAndRecover()
		waitAndRecover()
		StartPoll() // its worker's panic is nobody's to recover
		select {}
	}
	scenarios["copies, another reader"] = func() {
		g := ReadLock()
		for range 2 { // one for the reader
			unlockTwice()
		}
		waitAndRecover() //quiescevet:ignore it panics, and is there to
		waitAndRecover()
		g.Unlock()
		Call(func() {})
		select {}
	}
}
