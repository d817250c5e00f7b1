package slab

import (
	"math/rand/v2"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

type obj64 [8]uint64

func bench[T any](b *testing.B, opts ...Option) *Cache[T] {
	b.Helper()
	a := newPages(b, 0)
	c := newTest[T](b, a, opts...)
	b.Cleanup(func() { mustClose(b, c, a) })
	return c
}

var sink *obj64

func BenchmarkAllocFree(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		for range b.N {
			sink = new(obj64)
		}
	})
	b.Run("slab", func(b *testing.B) {
		c := bench[obj64](b)
		b.ResetTimer()
		for range b.N {
			c.Free(c.Alloc(gfp.NoWait))
		}
	})
	b.Run("sheaf", func(b *testing.B) {
		s := benchSheaf(b, bench[obj64](b))
		b.ResetTimer()
		for range b.N {
			s.Free(s.Alloc(gfp.NoWait))
		}
	})
}

// benchSheaf is a goroutine's own stock.
func benchSheaf[T any](b *testing.B, c *Cache[T]) *Sheaf[T] {
	b.Helper()
	s, err := c.Sheaf(64, gfp.Kernel)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkAllocFreeParallel is the same on every P at once.
func BenchmarkAllocFreeParallel(b *testing.B) {
	b.Run("new", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			var keep *obj64
			for pb.Next() {
				keep = new(obj64)
				escape(keep)
			}
		})
	})
	b.Run("slab", func(b *testing.B) {
		c := bench[obj64](b)
		b.ResetTimer()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Free(c.Alloc(gfp.NoWait))
			}
		})
	})
}

// escape keeps an object on the heap.
//
//go:noinline
func escape(p *obj64) {
	if p == nil {
		sink = p
	}
}

func BenchmarkShuffled10000(b *testing.B) {
	c := bench[obj64](b)
	const n = 10000
	ps := make([]*obj64, n)
	perm := rand.Perm(n)
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		for j := range ps {
			ps[j] = c.Alloc(gfp.NoWait)
		}
		for _, j := range perm {
			c.Free(ps[j])
		}
	}
}

// BenchmarkChurn allocates 1000 objects and frees them by RCU, over
// and over, while grace periods and their workers run.
func BenchmarkChurn(b *testing.B) {
	c := bench[obj64](b)
	ps := make([]*obj64, 1000)
	b.ResetTimer()
	for i := 0; i < b.N; i += len(ps) {
		for j := range ps {
			ps[j] = c.Alloc(gfp.Kernel)
		}
		for _, p := range ps {
			c.FreeRCU(p)
		}
	}
	b.StopTimer()
	s := c.Stats()
	b.ReportMetric(float64(s.Reused)/float64(max(s.RCUArrays, 1))*100, "reused-%")
	b.ReportMetric(float64(s.Fallback), "fallback")
}

func BenchmarkRemoteFree(b *testing.B) {
	c := bench[obj64](b)
	ch := make(chan []*obj64, 8)
	back := make(chan []*obj64, 8)
	for range 8 {
		back <- make([]*obj64, 1000)
	}
	done := testkit.Async(func() {
		for ps := range ch {
			c.FreeBulk(ps)
			back <- ps
		}
	})
	b.ResetTimer()
	for i := 0; i < b.N; i += 1000 {
		ps := <-back
		for j := range ps {
			ps[j] = c.Alloc(gfp.Kernel)
		}
		ch <- ps
	}
	close(ch)
	<-done
}
