package slab

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// Sheaves that their owners left open.

// stockOpen is where the Sheaf of the next test is made.
func stockOpen(c *Cache[cell]) *Sheaf[cell] {
	s, _ := c.Sheaf(20, gfp.Kernel)
	return s
}

// A cache that is closed under an open Sheaf says whose that is, and does not
// wait for it.
func TestCloseNamesTheSheavesThatAreOpen(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	s := stockOpen(c)
	s.FreeRCU(s.Alloc(gfp.Kernel))
	var leak *LeakError
	if err := c.Close(); !errors.As(err, &leak) {
		t.Fatalf("Close: %v", err)
	}
	if leak.Sheaves != 1 || leak.Held < 20 || leak.Objects != 0 || len(leak.Made) != 1 {
		t.Errorf("%+v", leak)
	}
	for _, part := range []string{"1 Sheaves still open", "slab.stockOpen ", "sheaf_left_test.go:"} {
		if !strings.Contains(leak.Error(), part) {
			t.Errorf("%q lacks %q", leak, part)
		}
	}
	testkit.Panics(t, func() { s.Alloc(gfp.NoLocks) }, "quiesce/slab: use of a Sheaf of closed cache ")
	s.Close()
}

func TestSheafThatWasDroppedGivesEverythingBack(t *testing.T) {
	a := newPages(t, 0)
	c := newTest[cell](t, a, WithSheaf(64))
	<-testkit.Async(func() {
		for range 20 {
			s := stockOf(t, c, 200)
			for i := range 100 {
				if p := s.Alloc(gfp.Kernel); i%2 == 0 {
					s.Free(p)
				} else {
					s.FreeRCU(p)
				}
			}
		}
	})
	testkit.Eventually(t, 30*time.Second, "the collector closes dropped Sheaves", func() bool {
		runtime.GC()
		return c.Stats().Sheaves == 0
	})
	if st := c.Stats(); st.Held != 0 {
		t.Errorf("%d objects held", st.Held)
	}
	mustClose(t, c, a)
}
