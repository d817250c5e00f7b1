package lock

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/preempt"
)

// Bad use that ends the process: in a pinned section, or by a fatal error of
// sync.Mutex.
var scenarios = map[string]func(){
	"Raw taken twice":            func() { l := registry(new(Raw)); l.Lock(); l.Lock() },
	"Raw taken twice, unnamed":   func() { l := new(Raw); l.Lock(); l.Lock() },
	"Raw taken twice by LockIRQ": func() { l := registry(new(Raw)); l.LockIRQ(); l.LockIRQ() },
	"Raw taken in a handler that interrupted its holder": func() {
		l := registry(new(Raw))
		l.Lock()
		preempt.Hardirq(l.Lock)
	},
	"Raw: Unlock of LockIRQ":            func() { l := registry(new(Raw)); l.LockIRQ(); l.Unlock() },
	"Raw: UnlockIRQ of Lock":            func() { l := registry(new(Raw)); l.Lock(); l.UnlockIRQ() },
	"Spin taken twice":                  func() { l := registry(new(Spin)); l.Lock(); l.Lock() },
	"RW taken twice":                    func() { l := registry(new(RW)); l.Lock(); l.Lock() },
	"RW read by its writer":             func() { l := registry(new(RW)); l.Lock(); l.RLock() },
	"RW read recursively by its writer": func() { l := registry(new(RW)); l.Lock(); l.RLockRecursive() },
	"RW: RUnlock by its writer":         func() { l := registry(new(RW)); l.Lock(); l.RUnlock() },
	"RW: Unlock by its reader":          func() { l := registry(new(RW)); l.RLock(); l.Unlock() },
	"RW: Unlock of LockIRQ":             func() { l := registry(new(RW)); l.LockIRQ(); l.Unlock() },
	"RW: UnlockIRQ of Lock":             func() { l := registry(new(RW)); l.Lock(); l.UnlockIRQ() },
	"RW: RUnlockIRQ of RLock":           func() { l := registry(new(RW)); l.RLock(); l.RUnlockIRQ() },
	"RW contended while pinned":         func() { contendPinned(new(RW)) },
	"Local taken twice":                 func() { l := registry(new(Local)); l.Lock(); l.Lock() },
	"Spin contended while pinned":       func() { contendPinned(new(Spin)) },
	"Mutex contended while pinned":      func() { contendPinned(new(Mutex)) },
	"Mutex: unlock of unlocked":         func() { new(Mutex).Unlock() },
	"Spin: unlock of unlocked":          func() { new(Spin).Unlock() },
}

// registry names the lock.
func registry[L interface{ Init(name string) }](l L) L {
	l.Init("registry")
	return l
}

// pass takes the lock and releases it.
func pass(l locker) {
	l.Lock()
	defer l.Unlock()
}

func contendPinned(l locker) {
	var held atomic.Bool
	go func() {
		l.Lock()
		held.Store(true)
		time.Sleep(100 * time.Millisecond) // well within lockdep's patience
		l.Unlock()
	}()
	for !held.Load() {
		time.Sleep(time.Millisecond)
	}
	p := preempt.Disable()
	l.Lock()
	p.Enable()
}

func TestTakingARawTwiceEndsTheProcessWithTheClass(t *testing.T) {
	dies(t, "Raw taken twice", "lock.Raw registry", "taken twice")
	dies(t, "Raw taken twice, unnamed", "unnamed lock.Raw", "taken twice")
	dies(t, "Raw taken twice by LockIRQ", "lock.Raw registry", "taken twice")
	dies(t, "Raw taken in a handler that interrupted its holder", "lock.Raw registry", "taken twice")
}

func TestUnlockGoesWithLockAndUnlockIRQWithLockIRQ(t *testing.T) {
	dies(t, "Raw: Unlock of LockIRQ", "lock.Raw registry", "UnlockIRQ with LockIRQ")
	dies(t, "Raw: UnlockIRQ of Lock", "lock.Raw registry", "UnlockIRQ with LockIRQ")
}

// With preempt_rt=1 both are sync.Mutexes, which don't know their holder, and
// the goroutine waits for itself.
func TestTakingASpinOrALocalTwiceEndsTheProcessWherePinned(t *testing.T) {
	if preempt.RT() {
		var l Spin
		l.Lock()
		if l.TryLock() {
			t.Error("a Spin was taken twice")
		}
		l.Unlock()
		return
	}
	dies(t, "Spin taken twice", "registry", "taken twice")
	dies(t, "Local taken twice", "lock.Local registry", "taken twice")
}

// An RW knows its writer in both modes.
func TestMisuseOfAnRWEndsWithItsClass(t *testing.T) {
	for _, c := range []struct{ name, want string }{
		{"RW taken twice", "taken twice"},
		{"RW read by its writer", "taken twice"},
		{"RW read recursively by its writer", "taken twice"},
		{"RW: RUnlock by its writer", "no reader has"},
		{"RW: Unlock by its reader", "unlock of unlocked"},
	} {
		dies(t, c.name, "lock.RW registry", c.want)
	}
	if !preempt.RT() {
		dies(t, "RW: Unlock of LockIRQ", "lock.RW registry", "UnlockIRQ with LockIRQ")
		dies(t, "RW: UnlockIRQ of Lock", "lock.RW registry", "UnlockIRQ with LockIRQ")
		dies(t, "RW: RUnlockIRQ of RLock", "lock.RW registry", "RUnlockIRQ with RLockIRQ")
	}
}

// Unlocking what another goroutine holds is reported, and the lock stays that goroutine's.
// Where lockdep is on it is a report and no panic.
func TestUnlockOfAnotherGoroutinesRWPanicsAndChangesNothing(t *testing.T) {
	calm(t)
	panics := func(f func()) (text string) {
		defer func() { text, _ = recover().(string) }()
		f()
		return
	}
	for _, c := range []struct {
		name         string
		enter, leave func(*RW)
		unlock       func(*RW)
		tells        bool
	}{
		{"written, Unlock", (*RW).Lock, (*RW).Unlock, (*RW).Unlock, true},
		{"written, RUnlock", (*RW).Lock, (*RW).Unlock, (*RW).RUnlock, true},
		{"read, Unlock", (*RW).RLock, (*RW).RUnlock, (*RW).Unlock, true},
		// With preempt_rt=1 the readers are not known.
		{"read, RUnlock", (*RW).RLock, (*RW).RUnlock, (*RW).RUnlock, !preempt.RT()},
	} {
		if !c.tells {
			continue
		}
		l := registry(new(RW))
		var held, release atomic.Bool
		done := make(chan struct{})
		go func() {
			c.enter(l)
			held.Store(true)
			until(release.Load)
			c.leave(l)
			close(done)
		}()
		until(held.Load)
		before := l.state.Load()
		var text string
		lockdeptest.Expect(t, func() { text = panics(func() { c.unlock(l) }) }, lockdep.UnlockBalance)
		after, pinned := l.state.Load(), preempt.Atomic()
		release.Store(true)
		<-done
		if strings.Contains(text, "lock.RW registry") == lockdep.Enabled() {
			t.Errorf("%s: panic %q, want one that names the lock", c.name, text)
		}
		if before != after || pinned {
			t.Errorf("%s: state %#x became %#x, pinned %v", c.name, before, after, pinned)
		}
		if !l.TryLock() {
			t.Errorf("%s: the lock is not free after its holder's unlock", c.name)
			continue
		}
		l.Unlock()
	}
}

// "Scheduling while atomic": the reason for gfp.NoLocks.
func TestASleepingLockContendedWhilePinnedEndsTheProcess(t *testing.T) {
	if lockdep.Enabled() {
		// A report, and lockdep keeps the process alive.
		reports(t, "Mutex contended while pinned", lockdep.InvalidWaitContext)
		if preempt.RT() { // otherwise the holder is pinned, and sleeps
			reports(t, "Spin contended while pinned", lockdep.InvalidWaitContext)
			reports(t, "RW contended while pinned", lockdep.InvalidWaitContext)
		}
		return
	}
	dies(t, "Mutex contended while pinned", "schedule: holding locks")
	if preempt.RT() {
		dies(t, "Spin contended while pinned", "schedule: holding locks")
		dies(t, "RW contended while pinned", "schedule: holding locks")
		return
	}
	// A spinning lock waits, and the process lives.
	var l Spin
	p := preempt.Disable()
	pass(&l)
	p.Enable()
}

// Without a contender a sleeping lock may be taken pinned, as far as the runtime
// is concerned. It is against the rules, and lockdep says so.
func TestASleepingLockThatIsFreeMayBeTakenWhilePinned(t *testing.T) {
	for _, l := range []locker{new(Raw), new(Spin), new(RW), new(Mutex), new(Local)} {
		var want []string
		if _, raw := l.(*Raw); !raw {
			want = append(want, lockdep.InvalidWaitContext)
		}
		lockdeptest.Expect(t, func() {
			p := preempt.Disable()
			pass(l)
			p.Enable()
		}, want...)
	}
}

func TestUnlockOfAMutexThatIsNotHeldIsFatal(t *testing.T) {
	if lockdep.Enabled() { // which does not let it come to that
		reports(t, "Mutex: unlock of unlocked", lockdep.UnlockBalance)
		if preempt.RT() {
			reports(t, "Spin: unlock of unlocked", lockdep.UnlockBalance)
		}
		return
	}
	dies(t, "Mutex: unlock of unlocked", "unlock of unlocked")
	if preempt.RT() {
		dies(t, "Spin: unlock of unlocked", "unlock of unlocked")
	}
}

func TestUnlockOfALockThatIsNotHeldPanicsWithItsName(t *testing.T) {
	var raw, unnamed, once Raw
	raw.Init("registry")
	once.Init("once")
	pass(&once)
	var local, other Local
	local.Init("sheaves")
	var spin Spin
	spin.Init("depot")
	cases := []struct {
		name string
		f    func()
		want []string
	}{
		{"Raw.Unlock", raw.Unlock, []string{"unlock of unlocked", "lock.Raw registry"}},
		{"Raw.UnlockIRQ", raw.UnlockIRQ, []string{"unlock of unlocked", "lock.Raw registry"}},
		{"Raw.Unlock, unnamed", unnamed.Unlock, []string{"unlock of unlocked", "unnamed lock.Raw"}},
		{"Raw.Unlock, a second time", once.Unlock, []string{"unlock of unlocked", "lock.Raw once"}},
		{"RW.Unlock", registry(new(RW)).Unlock, []string{"unlock of unlocked", "lock.RW registry"}},
		{"RW.UnlockIRQ", registry(new(RW)).UnlockIRQ, []string{"unlock of unlocked", "lock.RW registry"}},
		{"RW.RUnlock", registry(new(RW)).RUnlock, []string{"no reader has", "lock.RW registry"}},
		{"RW.RUnlockIRQ", registry(new(RW)).RUnlockIRQ, []string{"no reader has", "lock.RW registry"}},
		{"RW.RUnlock, unnamed", new(RW).RUnlock, []string{"no reader has", "unnamed lock.RW"}},
		{"Local.Unlock", local.Unlock, []string{"lock.Local sheaves", "does not hold"}},
		{"Local.Unlock, unnamed", other.Unlock, []string{"unnamed lock.Local", "does not hold"}},
		{"Local.Slot", func() { local.Slot() }, []string{"lock.Local sheaves", "does not hold"}},
	}
	if !preempt.RT() {
		cases = append(cases, struct {
			name string
			f    func()
			want []string
		}{"Spin.Unlock", spin.Unlock, []string{"unlock of unlocked", "depot"}})
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if lockdep.Enabled() && !strings.HasPrefix(c.name, "Local") {
				lockdeptest.Expect(t, c.f, lockdep.UnlockBalance) // and no panic
				if preempt.Atomic() {
					t.Error("the report left the goroutine pinned")
				}
				return
			}
			defer func() {
				text, ok := recover().(string)
				if !ok {
					t.Fatal("no panic with a string")
				}
				for _, w := range c.want {
					if !strings.Contains(text, w) {
						t.Errorf("panic %q does not contain %q", text, w)
					}
				}
				if preempt.Atomic() {
					t.Error("the panic left the goroutine pinned")
				}
			}()
			c.f()
		})
	}
}
