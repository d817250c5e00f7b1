package scale

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
)

// Tell receives, now and then, a line that says how far a run is. It may be nil.
type Tell func(format string, args ...any)

func (t Tell) say(format string, args ...any) {
	if t != nil {
		t(format, args...)
	}
}

// InputError is a parameter that can't be used.
type InputError = kit.InputError

// BadInput makes an InputError.
func BadInput(format string, args ...any) error { return kit.BadInput(format, args...) }

// bounds are what a parameter may be.
type bounds struct {
	name    string
	v       int64
	min     int64
	atMost  int64 // 0: no bound
	special bool  // -1 is allowed: the default depends on the machine
}

func check(all ...bounds) error {
	for _, b := range all {
		switch {
		case b.special && b.v == -1:
		case b.v < b.min:
			return BadInput("%s is %d: want %d or more", b.name, b.v, b.min)
		case b.atMost > 0 && b.v > b.atMost:
			return BadInput("%s is %d: want %d or less", b.name, b.v, b.atMost)
		}
	}
	return nil
}

// most is a bound of counts that keeps products of two of them in range.
const most = 1 << 31

// threads is a number of goroutines: -1 is one for each P.
func threads(n int) int {
	if n < 0 {
		return runtime.GOMAXPROCS(0)
	}
	return n
}

// crew runs fn in n goroutines that begin together, and returns when all have
// ended, with the time from the first one's begin to the last one's end.
func crew(n int, fn func(i int)) time.Duration {
	var ready, done sync.WaitGroup
	var start atomic.Bool
	ready.Add(n)
	for i := range n {
		done.Go(func() {
			ready.Done()
			for !start.Load() {
				runtime.Gosched()
			}
			fn(i)
		})
	}
	ready.Wait()
	begin := sys.Nanotime()
	start.Store(true)
	done.Wait()
	return time.Duration(sys.Nanotime() - begin)
}

// pause sleeps, for as long as ctx lets it.
func pause(ctx context.Context, d time.Duration) {
	for end := sys.Nanotime() + int64(d); ctx.Err() == nil; {
		left := end - sys.Nanotime()
		if left <= 0 {
			return
		}
		sys.Sleep(min(left, int64(20*time.Millisecond)))
	}
}

// majoritySpread is how far the closest majority of v lies apart, as a share of
// its middle.
func majoritySpread(v []float64) float64 { return kit.Spread(v, kit.Majority(len(v))) }

// noisyFrom is the spread from which a figure is not to be trusted.
const noisyFrom = 0.20
