package slab

import "math/bits"

// Size classes: multiples of 16 up to 128, then four to a doubling (jemalloc's
// spacing), so that at most a fifth of an object is waste beyond 16 bytes. A Heap with
// FineClasses has those of package sizeclass.
const (
	smallClasses = 8                 // 16, 32, ... 128
	classes      = smallClasses + 56 // up to 2 MiB
	smallSizes   = 64                // up to 1 KiB the class is found by table
)

// class returns the size class for size bytes, 1 to maxSize.
func class(size uintptr) int {
	if size <= 128 {
		return int(size+unit-1)/unit - 1
	}
	// The highest bit of size-1 names the doubling, the two below it the step.
	l := bits.Len(uint(size - 1))
	step := int((size-1)>>(l-3)) & 3
	return smallClasses + (l-8)*4 + step
}

// classSize is the object size of class i.
func classSize(i int) uintptr {
	if i < smallClasses {
		return uintptr(i+1) * unit
	}
	i -= smallClasses
	return uintptr(i&3+5) << (i>>2 + 5)
}
