//go:build !poison && !asan && !race

package slab

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// threadTime returns the CPU time of the calling thread, in ns.
func threadTime(b *testing.B) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		b.Skip(err)
	}
	return ts.Nano()
}

// BenchmarkInnocentCache measures how much others at the memory limit slow a cache
// that needs no more of it. One goroutine allocates and frees in a cache of its own;
// 500 others replace objects of 39 caches of the same allocator, of which 64 MiB is
// too little. The others run and rest in turn, and the figure is the median of the
// ratios of neighbouring turns, in CPU time of the one goroutine's thread.
func BenchmarkInnocentCache(b *testing.B) {
	const pairs, others, caches, ops = 21, 500, 39, 400_000
	pages := newPages(b, 64<<20)
	hot := newTest[[64]byte](b, pages)
	var greedy [caches]*Cache[[512]byte]
	for i := range greedy {
		var err error
		if greedy[i], err = NewCache[[512]byte](fmt.Sprint("greedy", i), WithAllocator(pages)); err != nil {
			b.Fatal(err)
		}
	}
	var gate sync.RWMutex // locked while the others rest
	var stop atomic.Bool
	var got, refused atomic.Int64
	gate.Lock()
	done := testkit.AsyncN(others, func(i int) {
		var kept [230]*[512]byte // all of them are 56 MiB, and FreeRCU delays the old ones
		for n := 0; !stop.Load(); n++ {
			gate.RLock()
			c := greedy[i%caches]
			p := c.Alloc(gfp.Kernel | gfp.NoWarn)
			if p == nil {
				refused.Add(1)
				n += 40
			} else {
				got.Add(1)
			}
			if old := kept[n%len(kept)]; old != nil {
				c.FreeRCU(old)
			}
			kept[n%len(kept)] = p
			gate.RUnlock()
		}
		for _, p := range kept {
			if p != nil {
				greedy[i%caches].Free(p)
			}
		}
	})
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	turn := func() float64 {
		var ps [64]*[64]byte
		begin := threadTime(b)
		for range ops / len(ps) {
			for i := range ps {
				ps[i] = hot.Alloc(gfp.Kernel)
			}
			for _, p := range ps {
				hot.Free(p)
			}
		}
		return float64(threadTime(b)-begin) / ops
	}
	turn()
	var ratios []float64
	var rest, run []float64
	for range b.N {
		for i := range pairs {
			var r, q float64
			quiet := func() { r = turn() }
			pressed := func() {
				gate.Unlock()
				before := got.Load()
				for got.Load()-before < 20_000 || pages.Stats().Resident < 63<<20 { // at the limit
					runtime.Gosched()
				}
				q = turn()
				gate.Lock()
			}
			if i%2 == 0 {
				quiet()
				pressed()
			} else {
				pressed()
				quiet()
			}
			ratios, rest, run = append(ratios, q/r), append(rest, r), append(run, q)
		}
	}
	stop.Store(true)
	gate.Unlock()
	<-done
	slices.Sort(ratios)
	slices.Sort(rest)
	slices.Sort(run)
	n := len(ratios)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(rest[n/2], "ns-at-rest")
	b.ReportMetric(run[n/2], "ns-pressed")
	b.ReportMetric(ratios[n/4], "ratio-q1")
	b.ReportMetric(ratios[n/2], "ratio-median")
	b.ReportMetric(ratios[3*n/4], "ratio-q3")
	for _, c := range greedy {
		mustClose(b, c)
	}
	mustClose(b, hot, pages)
	b.Logf("%d objects for the others, %d refused", got.Load(), refused.Load())
}
