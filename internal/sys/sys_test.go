package sys

import (
	"errors"
	"testing"
	"unsafe"

	"quiesce/internal/option"
)

func TestMembarrierIsCounted(t *testing.T) {
	before := Membarriers()
	for range 3 {
		Membarrier()
	}
	if got := Membarriers() - before; got < 3 {
		t.Errorf("Membarriers() rose by %d over 3 calls", got)
	}
}

func TestOptionMembarrierIsObeyed(t *testing.T) {
	if !option.Bool("membarrier") && HasMembarrier() {
		t.Error("QUIESCE=membarrier=0 is set and HasMembarrier() is true")
	}
}

func bytesAt(p unsafe.Pointer, n uintptr) []byte { return unsafe.Slice((*byte)(p), n) }

func allAre(b []byte, v byte) bool {
	for _, x := range b {
		if x != v {
			return false
		}
	}
	return true
}

func TestReservedRangeIsOpenedPopulatedAndDiscarded(t *testing.T) {
	const size, part = 64 << 20, 256 << 10
	for _, c := range []struct {
		name string
		get  func() (unsafe.Pointer, error)
	}{
		{"Reserve+Open", func() (unsafe.Pointer, error) {
			p, err := Reserve(size)
			if err == nil {
				p = unsafe.Add(p, 2*part) // a part in the middle
				err = Open(p, part)
			}
			return p, err
		}},
		{"Reserve+OpenPinned", func() (unsafe.Pointer, error) {
			p, err := Reserve(size)
			if err == nil && !CanOpenPinned {
				return p, Open(p, size)
			}
			ProcPin()
			ok := OpenPinned(p, size)
			ProcUnpin()
			if err == nil && !ok {
				err = errors.New("OpenPinned failed")
			}
			return p, err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := c.get()
			if err != nil {
				t.Fatal(err)
			}
			b := bytesAt(p, part)
			if !allAre(b, 0) {
				t.Error("a fresh range does not read as zero")
			}
			for i := range b {
				b[i] = 0xa5
			}
			if err := Populate(p, part); err != nil {
				t.Fatalf("Populate: %v", err)
			}
			if !allAre(b, 0xa5) {
				t.Error("Populate changed the content")
			}
			if err := Discard(p, part/2); err != nil {
				t.Fatalf("Discard: %v", err)
			}
			if !allAre(b[:part/2], 0) {
				t.Error("discarded memory does not read as zero")
			}
			if !allAre(b[part/2:], 0xa5) {
				t.Error("Discard changed memory beyond its range")
			}
			if err := Populate(p, part); err != nil {
				t.Fatalf("Populate after Discard: %v", err)
			}
			if !allAre(b[:part/2], 0) {
				t.Error("discarded and populated again, memory does not read as zero")
			}
		})
	}
}

func TestTouchKeepsEveryByte(t *testing.T) {
	b := make([]uint64, 5*4096/8)
	for i := range b {
		b[i] = uint64(i) * 0x9e3779b97f4a7c15
	}
	touch(unsafe.Pointer(&b[0]), uintptr(len(b)*8))
	for i := range b {
		if b[i] != uint64(i)*0x9e3779b97f4a7c15 {
			t.Fatalf("word %d changed", i)
		}
	}
}

func TestReserveOfTooMuchIsAnError(t *testing.T) {
	if _, err := Reserve(1 << 62); err == nil {
		t.Error("Reserve(1<<62) succeeded")
	}
}

func TestSleepAndNanotimeAdvance(t *testing.T) {
	start := Nanotime()
	for Nanotime()-start < 1_000_000 { // a signal may cut one short
		Sleep(1_000_000)
	}
	// Pause and Yield are allowed while pinned.
	ProcPin()
	Pause(10)
	Yield()
	ProcUnpin()
}
