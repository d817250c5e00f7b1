package torture

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/rcu"
)

// Bounds of the forward-progress tests: the kernel's, except for fwdMost, which
// replaces its notifier of memory running out.
const (
	fwdFlood       = 8 * time.Second // a test lasts so long at most (MAX_FWD_CB_JIFFIES), and fails then
	fwdMinLaunders = 3               // grace periods that a callback must have come through ...
	fwdMinCBs      = 100             // ... and so many callbacks must have (MIN_FWD_CBS_LAUNDERED)
	fwdMost        = 500_000         // callbacks pending
	fwdHist        = 10              // buckets a second of the histogram
	fwdSection     = 10 * time.Microsecond
)

// forward runs both tests in turn: do grace periods end, and callbacks run,
// under readers that leave no pause, and under a flood of callbacks? A short
// session's tests are short, but none fails before fwdFlood is over: with more
// goroutines than processors a grace period may take a tenth of a second.
func (s *session) forward() {
	r := s.random("fwd", 0)
	for n := 0; ; n++ {
		if n > 0 || s.p.fwdProgressHoldoff < s.length.Seconds()/2 {
			s.sleep(seconds(min(s.p.fwdProgressHoldoff, s.length.Seconds()/8)))
		}
		if s.stop.Load() {
			return
		}
		s.nodelay.Store(true) // readers' long delays are not what is tested
		if n%2 == 0 {
			s.forwardFlood()
		} else {
			s.forwardReaders(r)
		}
		s.nodelay.Store(false)
		if n > 0 {
			s.sleep(seconds(s.p.fwdProgressHoldoff))
		}
	}
}

// States of the self-propagating callback.
const (
	fcsGoing = iota
	fcsStop  // it was asked to stop
	fcsEnded // and did
)

// forwardReaders is a tight loop of sections on one goroutine, for a random
// time, with a callback that posts itself again. Grace periods must keep ending.
func (s *session) forwardReaders(r *rand.Rand) {
	var flag, invoked atomic.Int64
	var self func()
	self = func() {
		invoked.Add(1)
		if flag.Load() == fcsGoing {
			s.ops.call(self)
			return
		}
		flag.Store(fcsEnded)
	}
	s.ops.call(self)
	longest := min(s.p.stallTime, s.length.Seconds()/4)
	least := longest / float64(s.p.fwdProgressDiv)
	d := seconds(least + r.Float64()*(longest-least))
	ver, gps := s.version.Load(), s.ops.completed()
	start := time.Now()
	good := func() bool { return s.version.Load() != ver || s.ops.completed()-gps >= 2 }
	for !s.stop.Load() && (time.Since(start) < d || !good() && time.Since(start) < fwdFlood) {
		g := rcu.ReadLock()
		spin(fwdSection)
		g.Unlock()
		yield()
	}
	whole := !s.stop.Load()
	d = time.Since(start)
	ver, gps = s.version.Load()-ver, s.ops.completed()-gps
	s.fwd.readers.Add(1)
	if whole && ver == 0 && gps < 2 {
		s.fail("forward progress (tight reader)", "%d grace periods and %d versions in %v", gps, ver, d)
	}
	flag.Store(fcsStop)
	s.ops.sync()
	s.ops.barrier()
	if s.ops.name == "busted" {
		return
	}
	if f := flag.Load(); f != fcsEnded {
		s.fail("forward progress (tight reader)", "the self-propagating callback is in state %d after Barrier, want %d; it ran %d times", f, fcsEnded, invoked.Load())
	}
}

// fwdCB is a callback of the flood, posted again ("laundered") when it ran.
type fwdCB struct {
	next     *fwdCB
	launders int
	gp       uint64 // when it was posted
	fn       func()
}

// forwardFlood posts callbacks as fast as it can. At least fwdMinCBs of them
// must come through fwdMinLaunders grace periods.
func (s *session) forwardFlood() {
	var mu sync.Mutex
	var head, tail *fwdCB // ran, to be posted again; protected by mu
	var pending, most, laundered, total, invocations int64
	var invoked atomic.Int64
	var hist []int64
	var gpHist []uint64
	start := time.Now()
	d := min(fwdFlood, s.length/4)
	post := func(c *fwdCB) {
		c.gp = s.ops.completed()
		total++
		s.ops.call(c.fn)
	}
	ver, gps := s.version.Load(), s.ops.completed()
	for !s.stop.Load() && (time.Since(start) < d || laundered < fwdMinCBs && time.Since(start) < fwdFlood) {
		mu.Lock()
		c := head
		if c != nil {
			if head = c.next; head == nil {
				tail = nil
			}
		}
		mu.Unlock()
		pending = total - invoked.Load()
		most = max(most, pending)
		switch {
		case c != nil:
			c.next = nil
			invocations++
			if c.launders++; c.launders >= fwdMinLaunders {
				laundered++
			}
		case pending >= fwdMost:
			s.fwd.full.Add(1)
			time.Sleep(time.Millisecond)
			continue
		default:
			c = new(fwdCB)
			c.fn = func() {
				mu.Lock()
				c.next = nil
				if tail == nil {
					head = c
				} else {
					tail.next = c
				}
				tail = c
				mu.Unlock()
				invoked.Add(1)
			}
		}
		post(c)
		if total&1023 == 0 {
			b := int(time.Since(start) * fwdHist / time.Second)
			for len(hist) <= b {
				hist = append(hist, 0)
				gpHist = append(gpHist, s.ops.completed()-gps)
			}
			hist[b] = invoked.Load()
			yield() // the kernel's cond_resched
		}
	}
	whole := !s.stop.Load()
	took := time.Since(start)
	ver, gps = s.version.Load()-ver, s.ops.completed()-gps
	pending = total - invoked.Load()
	s.ops.barrier()
	if n := invoked.Load(); n != total && s.ops.name != "busted" {
		s.fail("forward progress (flood)", "%d of %d callbacks had run after Barrier", n, total)
	}
	s.fwd.floods.Add(1)
	s.fwd.invoked.Add(uint64(invoked.Load()))
	maxStore(&s.fwd.maxCBs, uint64(most))
	s.fwd.laundered.Add(uint64(laundered))
	line := fmt.Sprintf("duration %v pending %d n_launders %d n_launders_sa %d n_max_cbs %d cver %d gps %d",
		took.Round(time.Millisecond), pending, invocations, laundered, most, ver, gps)
	s.note("forward progress (flood): " + line + histogram(hist, gpHist))
	if whole && laundered < fwdMinCBs {
		s.fail("forward progress (flood)", "only %d callbacks came through %d grace periods, want %d: %s", laundered, fwdMinLaunders, fwdMinCBs, line)
	}
}

// histogram has the callbacks invoked and the grace periods up to each tenth of
// a second.
func histogram(cbs []int64, gps []uint64) string {
	var b strings.Builder
	last := int64(0)
	for i, n := range cbs {
		if n > 0 {
			fmt.Fprintf(&b, " %ds/%d:%d:%d", i+1, fwdHist, n-last, gps[i])
			last = n
		}
	}
	return b.String()
}

func maxStore(a *atomic.Uint64, v uint64) {
	for {
		if old := a.Load(); v <= old || a.CompareAndSwap(old, v) {
			return
		}
	}
}
