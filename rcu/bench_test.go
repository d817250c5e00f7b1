package rcu

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// The comparison of every figure runs next to it: a bare pin pair, and what Go
// programs use instead.

func BenchmarkReader(b *testing.B) {
	b.Run("bare-pin-pair", func(b *testing.B) {
		for range b.N {
			sys.ProcPin()
			sys.ProcUnpin()
		}
	})
	b.Run("preempt.Disable", func(b *testing.B) {
		for range b.N {
			p := preempt.Disable()
			p.Enable()
		}
	})
	b.Run("rcu.ReadLock", func(b *testing.B) {
		for range b.N {
			g := ReadLock()
			g.Unlock()
		}
	})
	b.Run("rcu.Reader", func(b *testing.B) {
		r := NewReader()
		defer r.Close()
		for range b.N {
			r.ReadLock()
			r.Unlock()
		}
	})
	b.Run("rcu.Reader/Guard.Unlock", func(b *testing.B) {
		r := NewReader()
		defer r.Close()
		for range b.N {
			g := r.ReadLock()
			g.Unlock()
		}
	})
	b.Run("sync.RWMutex", func(b *testing.B) {
		var mu sync.RWMutex
		for range b.N {
			mu.RLock()
			mu.RUnlock() //lint:ignore SA2001 the empty section is what is measured
		}
	})
}

func BenchmarkReaderParallel(b *testing.B) {
	b.Run("rcu.ReadLock", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				g := ReadLock()
				g.Unlock()
			}
		})
	})
	b.Run("rcu.Reader", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			r := NewReader()
			defer r.Close()
			for pb.Next() {
				r.ReadLock()
				r.Unlock()
			}
		})
	})
	b.Run("sync.RWMutex", func(b *testing.B) {
		var mu sync.RWMutex
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				mu.RLock()
				mu.RUnlock() //lint:ignore SA2001 the empty section is what is measured
			}
		})
	})
}

// BenchmarkCallback is a callback from its registration to its return, for each
// object: a closure of Call for each, or one function of a Batch for all. The objects
// lie in memory in another order than they come in. Test binaries pay for a look
// at the clock in both (inBubble).
func BenchmarkCallback(b *testing.B) {
	type node struct{ words [8]uint64 }
	for _, n := range []int{1 << 8, 1 << 18} {
		nodes := make([]node, n)
		order := rand.Perm(n)
		flow := func(b *testing.B, add func(o *node), barrier func()) {
			b.ReportAllocs()
			for i := range b.N {
				add(&nodes[order[i%n]])
			}
			barrier()
		}
		b.Run("Call/"+strconv.Itoa(n), func(b *testing.B) {
			flow(b, func(o *node) { Call(func() { o.words[0]++ }) }, Barrier)
		})
		b.Run("Batch/"+strconv.Itoa(n), func(b *testing.B) {
			objects := NewBatch("bench", func(os []*node) {
				for _, o := range os {
					o.words[0]++
				}
			})
			flow(b, objects.Add, objects.Barrier)
			objects.Close()
		})
	}
}

// waits measures a grace period next to the system call that it makes.
func waits(b *testing.B) {
	b.Run("membarrier", func(b *testing.B) {
		for range b.N {
			sys.Membarrier()
		}
	})
	b.Run("Synchronize", func(b *testing.B) {
		for range b.N {
			Synchronize()
		}
	})
}

// A grace period looks at every registered reader, even if it is idle.
func BenchmarkGracePeriodOverReaders(b *testing.B) {
	for _, n := range []int{0, 10, 1_000, 50_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			rs := make([]*Reader, n)
			for i := range rs {
				rs[i] = NewReader()
			}
			b.ResetTimer()
			for range b.N {
				Synchronize()
			}
			b.StopTimer()
			for _, r := range rs {
				r.Close()
			}
		})
	}
}

func BenchmarkGracePeriod(b *testing.B) {
	waits(b)
	for _, flavour := range []string{"pinned", "preemptible"} {
		b.Run("busy-reader/"+flavour, func(b *testing.B) {
			var stop atomic.Bool
			done := testkit.Async(func() {
				for !stop.Load() {
					if flavour == "pinned" {
						p := preempt.Disable()
						sys.Pause(15)
						p.Enable()
					} else {
						g := ReadLock()
						sys.Pause(15)
						g.Unlock()
					}
				}
			})
			waits(b)
			stop.Store(true)
			<-done
		})
	}
	b.Run("Call-to-callback", func(b *testing.B) {
		done := make(chan struct{})
		for range b.N {
			Call(func() { done <- struct{}{} })
			<-done
		}
	})
}
