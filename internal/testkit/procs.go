package testkit

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/sys"
)

// Procs sets GOMAXPROCS until the test ends.
func Procs(t testing.TB, n int) {
	old := runtime.GOMAXPROCS(n)
	t.Cleanup(func() { runtime.GOMAXPROCS(old) })
}

// AtLeastProcs raises GOMAXPROCS to n until the test ends.
func AtLeastProcs(t testing.TB, n int) { Procs(t, max(n, runtime.GOMAXPROCS(0))) }

// KeepProcs restores GOMAXPROCS, which the test changes, when the test ends.
func KeepProcs(t testing.TB) { Procs(t, runtime.GOMAXPROCS(0)) }

// ChurnProcs sets GOMAXPROCS to one number after the other, over and over,
// with a pause after each, until stop is called. stop restores it.
func ChurnProcs(pause time.Duration, numbers ...int) (stop func()) {
	old, end := runtime.GOMAXPROCS(0), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-end:
				runtime.GOMAXPROCS(old)
				return
			default:
				runtime.GOMAXPROCS(numbers[i%len(numbers)])
				time.Sleep(pause)
			}
		}
	})
	return func() {
		close(end)
		wg.Wait()
	}
}

// Here returns the number of the P that the caller ran on a moment ago.
func Here() int {
	id := sys.ProcPin()
	sys.ProcUnpin()
	return id
}

// Elsewhere runs fn while this goroutine spins, and so on another P if there
// is one.
func Elsewhere(fn func()) {
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		fn()
	}()
	for i := 0; !done.Load(); i++ {
		if i < 1000 {
			sys.Yield()
		} else {
			runtime.Gosched() // no other P is available
		}
	}
}

// Company starts goroutines that keep other Ps busy and send on the channel:
// a goroutine that receives from it moves between Ps. stop ends them.
func Company(goroutines int) (ping <-chan struct{}, stop func()) {
	c, end := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				case c <- struct{}{}:
				}
			}
		})
	}
	return c, func() {
		close(end)
		wg.Wait()
	}
}
