//go:build poison || asan || race

package slab

import (
	"errors"
	"strings"
	"testing"

	"quiesce/gfp"
)

// Builds that watch every object have no sample, and say so.
func TestCheckingBuildsHaveNoSample(t *testing.T) {
	if isChild() {
		return
	}
	for _, err := range []error{SampleGuards(GuardConfig{Every: 1}), ReportFaults()} {
		if !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("%v, want one that wraps ErrUnsupported", err)
		}
	}
	a := newPages(t, 0)
	c := newTest[cell](t, a)
	p := c.Alloc(gfp.Kernel)
	if err := CatchFaults(func() { p.id = 1 }); err != nil {
		t.Error(err)
	}
	if s, g := c.Stats(), ReadGuardStats(); s.Guarded != 0 || g != (GuardStats{}) {
		t.Errorf("%d guarded, %+v", s.Guarded, g)
	}
	c.Free(p)
	mustClose(t, c, a)
	if out, err := child(t, "guards=1,report_faults=1"); err != nil || !strings.Contains(out, "QUIESCE=guards has no effect") {
		t.Errorf("the option: %v\n%s", err, out)
	}
}
