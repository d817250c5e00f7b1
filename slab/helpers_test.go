package slab

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

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

// mustClose closes the allocator, and so shows that nothing is stranded.
func mustClose(t testing.TB, a *page.Allocator) {
	t.Helper()
	if err := a.Close(); err != nil {
		t.Error(err)
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

// farReader begins a section on a goroutine of its own, to be unlocked by the
// caller, who goes on to do what no reader may.
func farReader() (g rcu.Guard) {
	elsewhere(func() { g = rcu.ReadLock() })
	return g
}

// eventually polls for up to 5 s.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatal("not within 5 s: " + what)
		}
	}
}

// wantPanic runs fn and checks that it panics with a string that has all of
// the parts.
func wantPanic(t testing.TB, fn func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		s, _ := recover().(string)
		for _, p := range parts {
			if !strings.Contains(s, p) {
				t.Errorf("panic %q lacks %q", s, p)
			}
		}
	}()
	fn()
}

// workers counts the goroutines of this package that run.
func workers() int {
	buf := make([]byte, 1<<20)
	n := 0
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(g, "(*cache).spawn") { // its own frame, or who created it
			n++
		}
	}
	return n
}

// child re-runs the named test in a process of its own, with QUIESCE_CHILD
// set and the given options in QUIESCE.
func child(t *testing.T, options string) (out string, err error) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	env := []string{"QUIESCE_CHILD=1", "QUIESCE=" + options}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "QUIESCE=") {
			env = append(env, kv)
		}
	}
	cmd.Env = env
	b, err := cmd.CombinedOutput()
	return string(b), err
}

func isChild() bool { return os.Getenv("QUIESCE_CHILD") == "1" }

// chainStress is how long the chain is stressed; before it was mended 6 of 6
// runs failed within 6 s.
var chainStress = func() time.Duration {
	if os.Getenv("QUIESCE_MINUTE") == "1" {
		return 30 * time.Second
	}
	return 2 * time.Second
}()

// slowedFor is how long the back-pressure test floods; QUIESCE_MINUTE=1 makes
// it the minute that the guarantee speaks of.
var slowedFor = func() time.Duration {
	if os.Getenv("QUIESCE_MINUTE") == "1" {
		return time.Minute
	}
	return time.Second
}()
