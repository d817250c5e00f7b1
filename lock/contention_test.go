package lock

import (
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

type counted interface {
	irqLocker
	Contentions() uint64
}

var (
	_ counted = (*Raw)(nil)
	_ counted = (*Spin)(nil)
)

// Contentions counts acquisitions that waited, by Lock and by LockIRQ, and nothing
// else.
func TestContentionsCountsWhoWaited(t *testing.T) {
	testkit.Procs(t, 2)
	for name, l := range map[string]counted{"Raw": new(Raw), "Spin": new(Spin)} {
		t.Run(name, func(t *testing.T) {
			for range 100 {
				l.Lock()
				got := l.TryLock()
				l.Unlock()
				if got {
					t.Fatal("TryLock took a lock that was held")
				}
				l.LockIRQ()
				l.UnlockIRQ()
			}
			if n := l.Contentions(); n != 0 {
				t.Fatalf("%d contentions without a wait", n)
			}
			for _, way := range []struct {
				name         string
				lock, unlock func()
			}{{"Lock", l.Lock, l.Unlock}, {"LockIRQ", l.LockIRQ, l.UnlockIRQ}} {
				before := l.Contentions()
				waits := uint64(0) // at most
				testkit.Eventually(t, 10*time.Second, way.name+" that waits is counted", func() bool {
					waits++
					waitFor(way.lock, way.unlock)
					return l.Contentions() > before
				})
				if n := l.Contentions() - before; n != 1 {
					t.Errorf("%s: %d contentions in %d tries, want 1", way.name, n, waits)
				}
			}
		})
	}
}

// waitFor has one goroutine hold a lock for some microseconds when another wants it.
func waitFor(lock, unlock func()) {
	var wants atomic.Bool
	done := make(chan struct{})
	lock()
	go func() {
		wants.Store(true)
		lock()
		unlock()
		close(done)
	}()
	for end := sys.Nanotime() + 1_000_000; !wants.Load() && sys.Nanotime() < end; {
	}
	for end := sys.Nanotime() + 100_000; sys.Nanotime() < end; {
	}
	unlock()
	<-done
}
