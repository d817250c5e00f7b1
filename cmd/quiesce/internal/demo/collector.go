package demo

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// collector requests garbage collections and sums their pauses. The job makes
// next to no garbage, so without requests the collector would rarely run; with
// them it shows what millions of off-heap objects cost it.
type collector struct {
	asked   atomic.Int64
	running atomic.Bool
	done    sync.WaitGroup
	began   debug.GCStats
	seen    int64
	longest time.Duration
}

func newCollector() *collector {
	c := &collector{}
	debug.ReadGCStats(&c.began)
	c.seen = c.began.NumGC
	return c
}

// poll requests collections, one at a time, until want were requested, and
// reads the pauses of those that ended: the runtime keeps the last 256.
func (c *collector) poll(want int64) {
	if c.asked.Load() < want && c.running.CompareAndSwap(false, true) {
		c.asked.Add(1)
		c.done.Go(func() {
			runtime.GC()
			c.running.Store(false)
		})
	}
	c.look()
}

func (c *collector) look() debug.GCStats {
	var s debug.GCStats
	debug.ReadGCStats(&s)
	for _, p := range s.Pause[:min(int(s.NumGC-c.seen), len(s.Pause))] { // latest first
		c.longest = max(c.longest, p)
	}
	c.seen = s.NumGC
	return s
}

func (c *collector) finish(rep *Report) {
	c.done.Wait()
	s := c.look()
	rep.GCCycles = s.NumGC - c.began.NumGC
	rep.GCAsked = c.asked.Load()
	rep.GCPauseTotalNS = int64(s.PauseTotal - c.began.PauseTotal)
	rep.GCPauseMaxNS = int64(c.longest)
}
