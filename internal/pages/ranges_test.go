package pages

import (
	"testing"
	"unsafe"

	"quiesce/internal/testkit"
)

func TestARangeIsKnownFromItsFirstByteToItsLast(t *testing.T) {
	const n, size = 8, 100
	var mem [n][size + 2]byte // with a byte before and one after
	<-testkit.AsyncN(n, func(i int) { AddRange(unsafe.Pointer(&mem[i][1]), size) })
	for i := range mem {
		for j, want := range map[int]bool{0: false, 1: true, size: true, size + 1: false} {
			if got := InRange(unsafe.Pointer(&mem[i][j])); got != want {
				t.Errorf("byte %d of %d: in a range %v, want %v", j-1, size, got, want)
			}
		}
	}
	if InRange(nil) {
		t.Error("nil is in a range")
	}
}
