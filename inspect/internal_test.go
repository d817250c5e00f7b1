package inspect

import (
	"slices"
	"testing"
)

func TestNamesAreSortedByTheirNumbers(t *testing.T) {
	want := []string{"", "a", "a#2", "a#10", "a-8", "a-16", "a-16#2", "a-128", "a-b", "b1", "b01", "b2"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNames)
	if want[9], want[10] = "b01", "b1"; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, a := range want {
		for _, b := range want {
			if x, y := compareNames(a, b), compareNames(b, a); x != -y || (x == 0) != (a == b) {
				t.Errorf("%q and %q: %d and %d", a, b, x, y)
			}
		}
	}
}
