package pages

import (
	"testing"

	"quiesce/internal/testkit"
)

// A section is its goroutine's only, and lasts until the outermost ends.
func TestASectionIsItsGoroutines(t *testing.T) {
	if InSection() {
		t.Error("in a section before any began")
	}
	outer := BeginSection()
	inner := BeginSection()
	if !InSection() {
		t.Error("not in the section that was begun")
	}
	<-testkit.AsyncN(100, func(int) {
		if InSection() {
			t.Error("in another goroutine's section")
		}
	})
	inner.End()
	if !InSection() {
		t.Error("an inner section's end ends the outer one")
	}
	outer.End()
	if InSection() {
		t.Error("in a section after its end")
	}
}

// When no place is left a section is not noted, and its end ends no other.
func TestSectionsBeyondThePlaces(t *testing.T) {
	n := len(sections)
	began, end := make(chan int), make(chan struct{})
	done := testkit.AsyncN(2*n, func(int) {
		s := BeginSection()
		noted := 0
		if s >= 0 {
			noted = 1
		}
		if InSection() != (s >= 0) {
			t.Errorf("in a section: %v, with place %d", InSection(), s)
		}
		began <- noted
		<-end
		s.End()
		if InSection() {
			t.Error("in a section after its end")
		}
	})
	all := 0
	for range 2 * n {
		all += <-began
	}
	if all == 0 || all > n {
		t.Errorf("%d of %d sections noted in %d places", all, 2*n, n)
	}
	close(end)
	<-done
}
