package page

import (
	"runtime"
	"slices"
	"testing"
)

func TestReclaimersAreAskedInTheOrderInWhichTheyCame(t *testing.T) {
	a := newTest(t, Config{})
	var order []int
	rs := make([]*asked, 10)
	for i := range rs {
		rs[i] = &asked{func() { order = append(order, i) }}
		a.AddReclaimer(rs[i])
	}
	a.AddReclaimer(rs[3]) // twice: it is asked twice, and removed as often
	for _, i := range []int{0, 3, 9, 5} {
		a.RemoveReclaimer(rs[i])
	}
	a.RemoveReclaimer(rs[0]) // is not there: no effect
	a.AddReclaimer(rs[5])
	a.askReclaimers(1)
	if want := []int{1, 2, 3, 4, 6, 7, 8, 5}; !slices.Equal(order, want) {
		t.Errorf("asked %v, want %v", order, want)
	}
	for _, i := range []int{1, 2, 3, 4, 6, 7, 8, 5} {
		a.RemoveReclaimer(rs[i])
	}
	if left := slices.Collect(a.registered()); len(left) > 0 {
		t.Errorf("%d are left", len(left))
	}
}

type asked struct{ fn func() }

func (r *asked) Reclaim(int64) { r.fn() }

// Each cache is a Reclaimer: what one more costs does not depend on how many
// there are.
func TestAReclaimerCostsNoMoreAmongTenThousand(t *testing.T) {
	a := newTest(t, Config{})
	rs := make([]asked, 10_000)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range rs {
		a.AddReclaimer(&rs[i])
	}
	for i := range rs {
		a.RemoveReclaimer(&rs[i])
	}
	runtime.ReadMemStats(&after)
	if each := int(after.TotalAlloc-before.TotalAlloc) / len(rs); each > 1024 {
		t.Errorf("to add and remove one of %d allocates %d bytes", len(rs), each)
	}
}
