package rcuhash

import (
	"math/rand/v2"
	"sync"
	"testing"

	"quiesce/rcu"
)

func BenchmarkGet(b *testing.B) {
	const n = 1 << 20
	m := newMap[uint64, uint64](b, n, 0)
	plain := map[uint64]uint64{}
	var mu sync.RWMutex
	for i := range uint64(n) {
		m.Put(i, i)
		plain[i] = i
	}
	b.Run("rcuhash", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.Uint64(); pb.Next(); i += 0x9e3779b97f4a7c15 {
				g := rcu.ReadLock()
				m.Get(g, i>>44)
				g.Unlock()
			}
		})
	})
	b.Run("map-RWMutex", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := rand.Uint64(); pb.Next(); i += 0x9e3779b97f4a7c15 {
				mu.RLock()
				_ = plain[i>>44]
				mu.RUnlock()
			}
		})
	})
}
