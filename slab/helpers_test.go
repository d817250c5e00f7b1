package slab

import (
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/rcu"
)

// withHook has the reclaimer show what it reclaims: offsets in units.
func withHook(fn func([]uint32)) Option { return func(c *config) { c.hook = fn } }

func newPages(t testing.TB, limit int64) *page.Allocator {
	t.Helper()
	a, err := page.New(page.Config{Limit: limit, Name: "test", ReclaimTimeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// hastyPages returns an allocator that waits 20 ms for memory.
func hastyPages(t testing.TB, limit int64) *page.Allocator {
	t.Helper()
	a, err := page.New(page.Config{Limit: limit, ReclaimTimeout: 20 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// mustClose closes them in this order: caches and heaps before their
// allocator, whose Close shows that nothing is stranded.
func mustClose(t testing.TB, all ...io.Closer) {
	t.Helper()
	for _, c := range all {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func newTest[T any](t testing.TB, a *page.Allocator, opts ...Option) *Cache[T] {
	t.Helper()
	c, err := NewCache[T](strings.ReplaceAll(t.Name(), "/", "."), append([]Option{WithAllocator(a)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// offsetOf returns the object's offset, as sheaves have it.
func offsetOf[T any](c *Cache[T], p *T) uint32 { return uint32(c.c.unitOf(unsafe.Pointer(p))) }

// farReader begins a section on a goroutine of its own, to be unlocked by the
// caller, who may then do what no reader may.
func farReader() (g rcu.Guard) {
	testkit.Elsewhere(func() { g = rcu.ReadLock() })
	return g
}

// eventually polls for up to 5 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	testkit.Eventually(t, 30*time.Second, what, ok)
}

// letReclaim gives the worker the time to reclaim what it may.
func letReclaim() { time.Sleep(30 * time.Millisecond) }

const sharing = 300 * time.Millisecond

// workers counts the goroutines of this package that run, and the alarm that is
// set to start one.
func workers() int {
	n := serviceGoroutines()
	if service.wakeAt.Load() != 0 {
		n++
	}
	return n
}

// serviceGoroutines counts the goroutines of this package.
func serviceGoroutines() (n int) {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, frame := range []string{"slab.serve(", "slab.supply(", "(*cache).spawn", "sys.runStarts("} {
			if strings.Contains(g, frame) { // its own frame, or what created it
				n++
				break
			}
		}
	}
	return n
}

// child runs the calling test in a process of its own, under the options.
func child(t *testing.T, options string) (out string, err error) {
	t.Helper()
	return testkit.OfTest(t, "1", "QUIESCE="+options).Output()
}

func isChild() bool { return testkit.Scenario() != "" }

// chainStress is how long the chain is stressed; before it was mended 6 of 6
// runs failed within 6 s.
var chainStress = func() time.Duration {
	switch {
	case os.Getenv("QUIESCE_MINUTE") == "1":
		return 30 * time.Second
	case testkit.Long() || raceEnabled:
		return 2 * time.Second
	}
	return 600 * time.Millisecond
}()

// slowedFor is how long the back-pressure test floods; QUIESCE_MINUTE=1 makes
// it the minute that the guarantee speaks of.
var slowedFor = func() time.Duration {
	if os.Getenv("QUIESCE_MINUTE") == "1" {
		return time.Minute
	}
	return time.Second
}()

// pretendPending makes it look as if other caches had so much pending that FreeRCU
// helps, until stop is called.
func pretendPending() (stop func()) {
	service.pending.Add(helpBytes)
	return func() { service.pending.Add(-helpBytes) }
}

// byTurns calls even for the first of ps, odd for the second, and so on.
func byTurns[T any](ps []T, even, odd func(T)) {
	for i, p := range ps {
		if i%2 == 0 {
			even(p)
		} else {
			odd(p)
		}
	}
}

// notSampled has no allocation get a guard page until the test ends, whatever
// QUIESCE=guards says: the test counts what is in sheaves and slabs, where such an
// object is not.
func notSampled(t testing.TB) {
	t.Helper()
	every := ReadGuardStats().Every
	if every == 0 {
		return
	}
	if err := SampleGuards(GuardConfig{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := SampleGuards(GuardConfig{Every: every}); err != nil {
			t.Error(err)
		}
	})
}
