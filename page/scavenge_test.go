package page

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// After a peak the memory of free blocks goes back to the system by itself, and
// then nothing runs.
func TestMemoryGoesBackToTheSystemAfterAPeak(t *testing.T) {
	configs := []Config{{Limit: 256 << 20}, {}}
	if testing.Short() {
		configs = configs[:1]
	}
	for _, c := range configs {
		a := newTest(t, c)
		const blocks = 100 << 20 >> Shift >> 4
		for range 2 { // the second peak starts it again
			for _, p := range take(t, a, blocks) {
				a.Free(p, 4)
			}
			testkit.Eventually(t, 20*time.Second, "the memory goes back", func() bool {
				s := a.Stats()
				return s.FreePopulated+s.Deferred <= scavengeKeep+s.Resident/16
			})
		}
		testkit.Eventually(t, 20*time.Second, "the goroutine's end", func() bool { return !a.scavenging.Load() })
		checkZone(t, a)
	}
}

func take(t *testing.T, a *Allocator, blocks int) (ps []unsafe.Pointer) {
	for range blocks {
		p := a.Alloc(4, gfp.Kernel)
		if p == nil {
			t.Fatal("no memory")
		}
		ps = append(ps, p)
	}
	return ps
}
