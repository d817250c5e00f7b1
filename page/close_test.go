package page_test

import (
	"errors"
	"slices"
	"testing"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/slab"
)

func TestCloseNamesTheCachesThatAreOpen(t *testing.T) {
	a, err := page.New(page.Config{Name: t.Name()})
	if err != nil {
		t.Fatal(err)
	}
	c, err := slab.NewCache[[4]uint64]("sessions", slab.WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	c.Free(c.Alloc(gfp.Kernel))
	var leak *page.LeakError
	if err := a.Close(); !errors.As(err, &leak) || !slices.Contains(leak.Users, "cache sessions") {
		t.Errorf("Close with a cache that is open: %v", err)
	}
	if err := errors.Join(c.Close(), a.Close()); err != nil {
		t.Error(err)
	}
}
