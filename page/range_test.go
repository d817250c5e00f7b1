package page

import (
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// Blocks are aligned as addresses, whatever the size of the range: where the
// system puts a range depends on its size.
func TestBlocksAreAlignedToTheirSize(t *testing.T) {
	for _, reserve := range []int64{3 << 19, 7 << 19, 1<<30 + 1<<19, 64 << 30} {
		a := newTest(t, Config{Reserve: reserve})
		for order := range MaxOrder + 1 {
			p := a.Alloc(order, gfp.NoWait|gfp.NoWarn)
			if p == nil {
				continue // the range is too small
			}
			if uintptr(p)%(Size<<order) != 0 {
				t.Errorf("Reserve %d KiB, order %d: block at %#x", reserve>>10, order, uintptr(p))
			}
			a.Free(p, order)
		}
	}
}

func TestRangeEndIsNoMemory(t *testing.T) {
	testkit.Procs(t, 1) // another P's list may keep a batch
	a := newTest(t, Config{Reserve: 5 * section * Size, ReclaimTimeout: time.Millisecond})
	p := a.Alloc(9, quiet)
	if p != nil { // 5 sections, page 0 spoils the only aligned four
		t.Error("order 9 without room for it")
	}
	var ps []unsafe.Pointer
	for p := a.Alloc(0, quiet); p != nil; p = a.Alloc(0, quiet) {
		ps = append(ps, p)
	}
	if want := 5*section - 1; len(ps) != want {
		t.Errorf("%d pages, want %d", len(ps), want)
	}
	for _, p := range ps {
		a.Free(p, 0)
	}
}

func TestAnAllocatorSaysWhatItWasMadeWith(t *testing.T) {
	a, err := New(Config{Reserve: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Range() < 8<<20 || a.ReclaimTimeout() != time.Second {
		t.Errorf("a range of %d bytes, a timeout of %v", a.Range(), a.ReclaimTimeout())
	}
}
