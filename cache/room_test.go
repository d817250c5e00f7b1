package cache

import (
	"errors"
	"testing"
	"time"

	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// While a reader stays nothing that was evicted becomes free. Sets fail then, and the
// cache keeps most of what it has.
func TestAReaderThatStaysDoesNotEmptyTheCache(t *testing.T) {
	pages, err := page.New(page.Config{Limit: 8 << 20, ReclaimTimeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Options[int, [100]byte]{Allocator: pages, Name: "held"})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	set := func() error { next++; return c.Set(next, [100]byte{}) }
	for c.Stats().Evictions < 1000 {
		if err := set(); err != nil {
			t.Fatal(err)
		}
	}
	before := c.Len()
	var g rcu.Guard
	testkit.Elsewhere(func() { g = rcu.ReadLock() })
	for busy := 0; busy < 20; {
		switch err := set(); {
		case errors.Is(err, ErrBusy):
			busy++
		case err != nil:
			t.Fatal(err)
		}
	}
	if n := c.Len(); n < before*3/4 {
		t.Errorf("%d entries of %d are left after 20 Sets that a reader held up", n, before)
	}
	g.Unlock()
	eventually(t, "a Set after the reader", func() bool { return set() == nil })
	if err := errors.Join(c.Close(), pages.Close()); err != nil {
		t.Error(err)
	}
}
