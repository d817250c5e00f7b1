package rcu

import (
	"math/bits"
	"runtime"
	"sync/atomic"
	"time"

	"quiesce/internal/live"
	"quiesce/internal/percpu"
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// waiting says what the driver of a grace period waits for, for package inspect.
// It is written by the driver, in pauses that are longer than a spin.
var waiting struct {
	since atomic.Int64  // 0: nothing
	what  atomic.Uint32 // a flavour
}

// The flavours of readers, as they are reported.
const (
	pinnedReader uint32 = iota
	preemptibleReader
	registeredReader
)

var flavourNames = [...]string{"pinned", "preemptible", "registered"}

//go:norace
func (b *backoff) noteWait(flavour uint32) {
	if waiting.since.Load() == 0 { // ord:stat
		waiting.since.Store(b.start) // ord:stat
	}
	waiting.what.Store(flavour) // ord:stat
}

// ended follows the waits of a grace period.
//
//go:norace
func (b *backoff) ended() {
	if b.start != 0 {
		waiting.since.Store(0) // ord:stat
	}
}

func init() { live.RCU = figures }

// figures reads what readers and grace periods do, without a lock or a barrier:
// those that come or go meanwhile may be counted or not.
//
//go:norace
func figures() (f live.RCUFigures) {
	race.Disable()
	f.InProgress = seq.Load()&1 != 0               // ord:stat
	if since := waiting.since.Load(); since != 0 { // ord:stat
		f.WaitsFor = readerOf[flavourNames[waiting.what.Load()]] // ord:stat
		f.Waiting = max(time.Duration(sys.Nanotime()-since), 0)
	}
	exits := sumUnlocks() // first: a reader that leaves between the sums counts
	entries := sumLocks()
	f.Preemptible = int(max(int64(entries[0]-exits[0]), 0) + max(int64(entries[1]-exits[1]), 0))
	for id := range min(runtime.GOMAXPROCS(0), percpu.MaxP) {
		if atomic.LoadUint64(&percpu.Of(id).Nest) != 0 { // ord:stat
			f.Pinned++
		}
	}
	if chunks := registry.chunks.Load(); chunks != nil { // ord:stat
		for _, c := range *chunks {
			for l := c.live.Load(); l != 0; l &= l - 1 { // ord:stat
				s := &c.slots[bits.TrailingZeros64(l)]
				f.Registered++
				if atomic.LoadUint64(&s.word)&nestMask != 0 { // ord:stat
					f.InSection++
				}
				if s.dropped.Load() { // ord:stat
					f.Dropped++
				}
			}
		}
	}
	f.CallbacksWaiting, f.BarriersWaiting = calls.unstarted(), calls.waiting.Load() // ord:stat
	race.Enable()
	f.Running = watch.running()
	f.Deferred = live.Deferred()
	return f
}

// running returns the callbacks that ran at the last tick already.
//
//go:norace
func (w *watchdog) running() (all []live.Callback) {
	race.Disable()
	w.mu.Lock()
	for _, q := range w.queues {
		if q.watched.ran == 0 || q.watched.seen != q.invoked.Load() { // ord:stat
			continue
		}
		c := live.Callback{Ran: q.watched.ran}
		if q.code != 0 {
			c.Batch = q.name
		}
		if f := runtime.FuncForPC(q.running()); f != nil {
			c.Func = f.Name()
		}
		all = append(all, c)
	}
	w.mu.Unlock()
	race.Enable()
	return all
}
