package sizeclass

import "testing"

func TestAClassIsTheLeastThatFits(t *testing.T) {
	used := map[int]bool{}
	for size := uintptr(1); size <= Most; size++ {
		i := Of(size)
		used[i] = true
		got := Size(i)
		if i < 0 || i >= Count || got < size || got%Unit != 0 {
			t.Fatalf("%d bytes: class %d of %d bytes", size, i, got)
		}
		if Of(got) != i || Round(size) != got {
			t.Fatalf("%d bytes: class %d of %d bytes, whose class is %d; rounded to %d", size, i, got, Of(got), Round(size))
		}
		if size > 1 && Of(size-1) > i {
			t.Fatalf("%d bytes are in class %d, one byte less in %d", size, i, Of(size-1))
		}
		if i == Of(got+1) && got < Most {
			t.Fatalf("class %d of %d bytes has a byte more too", i, got)
		}
		switch waste := float64(got-size) / float64(got); {
		case size <= Dense && got-size >= Unit,
			size > Dense && size <= 4<<10 && waste > 1.0/7,
			size > 4<<10 && size <= Run && waste > 1.0/4,
			size > Run && waste > 1.0/4,
			size > pageRun && waste > 1.0/8:
			t.Fatalf("%d bytes waste %.3f of class %d of %d bytes", size, waste, i, got)
		}
	}
	if !used[Count-1] || Size(Count-1) != Most {
		t.Fatalf("the last class, %d, has %d bytes", Count-1, Size(Count-1))
	}
	if len(used) < Count-12 {
		t.Fatalf("only %d of %d classes are used", len(used), Count)
	}
}

// A slab of 32 KiB, or of four times the size, has no rest worth a class's waste.
func TestSlabsHaveNoRest(t *testing.T) {
	for i := range Count {
		size := Size(i)
		if Of(size) != i || size > Run {
			continue
		}
		slab := uintptr(32 << 10)
		if size > 8<<10 {
			slab = 64 << 10
		}
		if rest := slab % size; rest*50 > slab {
			t.Errorf("class %d of %d bytes: a slab of %d has a rest of %d", i, size, slab, rest)
		}
	}
	for size := uintptr(Run + 1); size <= Most; size += 1000 {
		if got := Round(size); got%4096 != 0 {
			t.Fatalf("%d bytes are rounded to %d: not whole pages", size, got)
		}
	}
}
