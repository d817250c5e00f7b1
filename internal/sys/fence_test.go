//go:build amd64 && !race

package sys

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Two processors store, and then each loads what the other stored: with a fence in
// between, one of them sees the other's. The stores are plain, since Go's atomic ones are
// fences.
func TestAFenceOrdersAStoreBeforeALoad(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one processor sees its own stores")
	}
	const rounds = 200_000
	type word struct {
		v uint32
		_ [124]byte
	}
	var words [2][512]word // each round uses two
	var saw [2][512]uint32
	var arrived atomic.Int64
	meet := func(n int64) {
		arrived.Add(1)
		for i := 0; arrived.Load() < 2*n; i++ {
			if i > 1000 {
				runtime.Gosched()
			}
		}
	}
	missed := 0
	var both sync.WaitGroup
	for me := range 2 {
		both.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			mine, others := &words[me], &words[1-me]
			n := int64(0)
			for range rounds / len(mine) {
				for i := range mine {
					n++
					meet(n)
					mine[i].v = 1
					Fence()
					saw[me][i] = atomic.LoadUint32(&others[i].v)
				}
				n++
				meet(n)
				if me == 0 {
					for i := range saw[0] {
						if saw[0][i] == 0 && saw[1][i] == 0 {
							missed++
						}
						words[0][i].v, words[1][i].v = 0, 0
					}
				}
				n++
				meet(n)
			}
		})
	}
	both.Wait()
	if missed > 0 {
		t.Errorf("in %d of %d rounds neither saw the other's store", missed, rounds)
	}
}
