package page

import (
	"math/rand/v2"
	"testing"
	"unsafe"

	"quiesce/gfp"
)

// A block that is trimmed to any length keeps these pages, and no other, and all of
// it comes back.
func TestTrim(t *testing.T) {
	a, err := New(Config{Name: "trim", Limit: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	core := &a.core
	for order := range MaxOrder + 1 {
		for n := 1<<order/2 + 1; n <= 1<<order; n += max(1, 1<<order/24) {
			p := a.Alloc(order, gfp.Kernel)
			if p == nil {
				t.Fatalf("order %d: no memory", order)
			}
			before := a.Stats()
			core.Trim(p, order, n)
			after := a.Stats()
			if freed := before.InUse - after.InUse; freed != int64(1<<order-n)*Size {
				t.Fatalf("order %d to %d pages: %d bytes freed", order, n, freed)
			}
			clear(unsafe.Slice((*byte)(p), n*Size))
			if core.FreeRunQuietly(p, n) {
				core.WakeAfterFree()
			}
			if s := a.Stats(); s.InUse != 0 || s.Allocs != s.Frees {
				t.Fatalf("order %d, %d pages: %d bytes in use at the end, %d blocks handed out, %d freed", order, n, s.InUse, s.Allocs, s.Frees)
			}
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

// Runs and blocks lie side by side, each its owner's alone, and the buddy merges none
// that is in use: when all are free there are whole sections again.
func TestRunsOverlapNothing(t *testing.T) {
	a, err := New(Config{Name: "runs", Limit: 16 << 20})
	if err != nil {
		t.Fatal(err)
	}
	core := &a.core
	type run struct {
		p    unsafe.Pointer
		n    int
		mark byte
	}
	var held []run
	rng := rand.New(rand.NewPCG(1, 2))
	free := func(i int) {
		r := held[i]
		for off := range r.n * Size / 512 {
			if got := *(*byte)(unsafe.Add(r.p, off*512)); got != r.mark {
				t.Fatalf("run of %d pages: byte %d is %d, want %d", r.n, off*512, got, r.mark)
			}
		}
		if core.FreeRunQuietly(r.p, r.n) {
			core.WakeAfterFree()
		}
		held[i] = held[len(held)-1]
		held = held[:len(held)-1]
	}
	for i := range 6000 {
		order := rng.IntN(6)
		p := a.Alloc(order, gfp.NoWait|gfp.NoWarn)
		if p == nil || len(held) > 0 && rng.IntN(2) == 0 {
			free(rng.IntN(len(held)))
		}
		if p == nil {
			continue
		}
		r := run{p, 1<<order/2 + 1 + rng.IntN(max(1<<order/2, 1)), byte(i)}
		if order == 0 {
			r.n = 1
		}
		core.Trim(p, order, r.n)
		for off := range r.n * Size / 512 {
			*(*byte)(unsafe.Add(p, off*512)) = r.mark
		}
		held = append(held, r)
	}
	for len(held) > 0 {
		free(0)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestTrimOfWhatIsNoBlock(t *testing.T) {
	a, err := New(Config{Name: "no trim", Limit: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	p := a.Alloc(3, gfp.Kernel)
	for _, tc := range []struct{ order, n int }{{2, 3}, {4, 9}, {3, 4}, {3, 0}, {3, 9}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Trim of order %d to %d pages: no panic", tc.order, tc.n)
				}
			}()
			a.core.Trim(p, tc.order, tc.n)
		}()
	}
	a.Free(p, 3)
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
}
