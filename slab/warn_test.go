package slab

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// A guard that was lost to a recovered panic holds up all deferred frees. The
// allocation that fails for it says so, and whose limit it was.
func TestAFailedAllocationNamesTheLimitAndTheStall(t *testing.T) {
	if !isChild() {
		out, err := testkit.OfTest(t, "1").Output()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		for _, part := range []string{"slab: allocation failed", "cache=lines", "allocator=sessions", "limit=2097152", "pending_sheaves=",
			"a preemptible reader has held up the grace period for", "rcu: stall: a reader holds up", "deferred_bytes="} {
			if !strings.Contains(out, part) {
				t.Errorf("%q is not in\n%s", part, out)
			}
		}
		return
	}
	rcu.StallTimeout = 20 * time.Millisecond
	var sink testkit.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&sink, nil)))
	a, err := page.New(page.Config{Limit: 2 << 20, Name: "sessions", ReclaimTimeout: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewCache[[512]byte]("lines", WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	testkit.Elsewhere(func() {
		defer func() { recover() }()
		rcu.ReadLock() // and nothing unlocks it
		panic("the handler's own")
	})
	logged := func(part string) {
		testkit.Eventually(t, 10*time.Second, part, func() bool { return strings.Contains(sink.String(), part) })
	}
	// First the stall, whose grace period a busy machine may be late to begin.
	c.FreeRCU(c.Alloc(gfp.Kernel))
	logged("rcu: stall")
	for p := c.Alloc(gfp.Kernel); p != nil; p = c.Alloc(gfp.Kernel) {
		c.FreeRCU(p)
	}
	logged("slab: allocation failed")
	print(sink.String())
}
