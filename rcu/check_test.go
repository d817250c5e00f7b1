package rcu

import (
	"reflect"
	"testing"

	"quiesce/internal/depcheck"
)

// depcheck.CheckGuard relies on it.
func TestAGuardBeginsWithItsSection(t *testing.T) {
	if f := reflect.TypeFor[Guard]().Field(0); f.Offset != 0 || f.Type != reflect.TypeFor[depcheck.Section]() {
		t.Errorf("the first field of a Guard is %s %v at %d", f.Name, f.Type, f.Offset)
	}
}

// So that no two Readers share lines: the Go heap aligns objects of this size.
func TestSlotsFillTheirLines(t *testing.T) {
	if n := reflect.TypeFor[readerSlot]().Size(); n != readerLine {
		t.Errorf("a slot has %d bytes, want %d", n, readerLine)
	}
	if n := reflect.TypeFor[readerChunk]().Size(); n != 8<<10 {
		t.Errorf("a chunk has %d bytes, want %d", n, 8<<10)
	}
}
