package slab

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// linked is an object of 64 bytes with room for a link, for the comparison
// with a list.
type linked struct {
	next Pointer[linked]
	w    [7]uint64
}

var evicted uint64

// evict pushes everything out of the caches that this machine's core has for
// itself.
func evict() {
	buf := make([]uint64, 64<<20/8)
	for i := 0; i < len(buf); i += 8 {
		buf[i]++
		evicted += buf[i]
	}
}

// BenchmarkColdFlood gives 1 M shuffled objects to FreeRCU while a reader
// holds every grace period up, then lets the reader go and waits for the
// reclaim. Four figures, always together, in ns per object: enqueue, reclaim
// (by hand-over of whole sheaves or by kfree_bulk), and the first write of the
// next owner; next to them a bare walk of the same objects as a list.
func BenchmarkColdFlood(b *testing.B) {
	const n = 1_000_000
	for _, way := range []struct {
		name  string
		depot int64
	}{{"hand-over", 1 << 40}, {"kfree_bulk", 0}} {
		b.Run(way.name, func(b *testing.B) {
			var enqueue, reclaim, write, walk time.Duration
			for range b.N {
				b.StopTimer()
				c := bench[linked](b, WithDepot(way.depot))
				ps := make([]*linked, n)
				if c.AllocBulk(gfp.Kernel, ps) != n {
					b.Fatal("no memory")
				}
				rand.Shuffle(n, func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
				for i := range ps[1:] {
					ps[i].next.Store(ps[i+1])
				}
				ps[n-1].next.Store(nil)
				evict()
				t := time.Now()
				for p := ps[0]; p != nil; p = p.next.Load() {
					evicted++
				}
				walk += time.Since(t)
				evict()
				b.StartTimer()

				g := rcu.ReadLock()
				t = time.Now()
				for _, p := range ps {
					c.FreeRCU(p)
				}
				enqueue += time.Since(t)
				if f := c.Stats().Fallback; f > n/20 {
					b.Logf("%d objects on the fallback chain", f)
				}
				g.Unlock()
				t = time.Now()
				c.Barrier()
				reclaim += time.Since(t)
				t = time.Now()
				for i := range ps {
					ps[i] = c.Alloc(gfp.Kernel)
					ps[i].w[0] = 1
				}
				write += time.Since(t)
				b.StopTimer()
				c.FreeBulk(ps)
				b.StartTimer()
			}
			per := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(b.N) / n }
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(per(enqueue), "enqueue-ns")
			b.ReportMetric(per(reclaim), "reclaim-ns")
			b.ReportMetric(per(enqueue)+per(reclaim), "enqueue+reclaim-ns")
			b.ReportMetric(per(write), "alloc+write-ns")
			b.ReportMetric(per(walk), "list-walk-ns")
		})
	}
}

// BenchmarkFloodPeak has goroutines, two for each P, replace objects as fast as
// they can for a second, without a memory limit. The figure is how many MiB were
// pending at most: in the second case other goroutines read all the while, in the
// third the floods themselves are in read-side sections of 1,000 frees each.
func BenchmarkFloodPeak(b *testing.B) {
	type object [1024]byte
	for _, way := range []struct {
		name    string
		readers int
		inside  bool
	}{{name: "bare"}, {name: "readers", readers: 2}, {name: "inside", inside: true}} {
		b.Run(way.name, func(b *testing.B) {
			var peak, freed float64
			for range b.N {
				c := bench[object](b)
				var most, n atomic.Int64
				var stop atomic.Bool
				reading := testkit.AsyncN(way.readers, func(int) {
					for !stop.Load() {
						g := rcu.ReadLock()
						for t := time.Now(); time.Since(t) < 100*time.Microsecond; {
						}
						g.Unlock()
					}
				})
				end := time.Now().Add(time.Second)
				<-testkit.AsyncN(4, func(int) {
					for time.Now().Before(end) {
						var g rcu.Guard
						if way.inside {
							g = rcu.ReadLock()
						}
						for range 1000 {
							c.FreeRCU(c.Alloc(gfp.Kernel)) //quiescevet:ignore what that costs is measured
						}
						if way.inside {
							g.Unlock()
						}
						n.Add(1000)
						pending := c.c.pendingObjects.Load()
						for m := most.Load(); pending > m && !most.CompareAndSwap(m, pending); m = most.Load() {
						}
					}
				})
				stop.Store(true)
				<-reading
				c.Barrier()
				peak = max(peak, float64(most.Load()))
				freed += float64(n.Load())
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(peak*float64(len(object{}))/(1<<20), "peak-MiB")
			b.ReportMetric(freed/float64(b.N)/1e6, "Mfrees/s")
		})
	}
}
