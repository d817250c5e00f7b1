//go:build poison

package slabtest_test

import (
	"fmt"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/slab"
	"quiesce/slab/slabtest"
)

// fakeT is a test that calls Check.
type fakeT struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (f *fakeT) Helper()           {}
func (f *fakeT) Cleanup(fn func()) { f.cleanups = append(f.cleanups, fn) }
func (f *fakeT) Error(args ...any) { f.errors = append(f.errors, fmt.Sprint(args...)) }
func (f *fakeT) end() {
	for _, fn := range f.cleanups {
		fn()
	}
}

type cell [7]uint64

// Children have no guard pages, whose objects fault.
func TestMain(m *testing.M) {
	scenarios := map[string]func(){}
	for _, c := range checked {
		scenarios[c.name] = func() { runChecked(c.do, c.wants) }
	}
	testkit.Main(m, scenarios, 0)
}

var checked = []struct {
	name  string
	do    func(c *slab.Cache[cell])
	wants string
}{
	{"nothing wrong", func(c *slab.Cache[cell]) { c.Free(c.Alloc(gfp.Kernel)); c.FreeRCU(c.Alloc(gfp.Kernel)) }, ""},
	{"double free", func(c *slab.Cache[cell]) {
		p := c.Alloc(gfp.Kernel)
		c.Free(p)
		recovered(func() { c.Free(p) })
	}, "double-free"},
	{"double free by another goroutine", func(c *slab.Cache[cell]) {
		p := c.Alloc(gfp.Kernel)
		c.Free(p)
		<-testkit.Async(func() { recovered(func() { c.Free(p) }) })
	}, "double-free"},
	{"leak", func(c *slab.Cache[cell]) { c.Alloc(gfp.Kernel); _ = c.Close() }, "slab-leak"},
	{"write after free, found at the end", func(c *slab.Cache[cell]) {
		p := c.Alloc(gfp.Kernel)
		c.Free(p)
		p[3] = 1
	}, "slab-use-after-free"},
	{"write after free, found by a pinned free", func(c *slab.Cache[cell]) {
		p := c.Alloc(gfp.Kernel)
		next := c.Alloc(gfp.Kernel) // the quarantine holds one object
		c.Free(p)
		p[3] = 1
		pin := preempt.Disable()
		c.Free(next)
		pin.Enable()
	}, "slab-use-after-free"},
}

func recovered(fn func()) {
	defer func() { _ = recover() }()
	fn()
}

func runChecked(do func(c *slab.Cache[cell]), wants string) {
	c, err := slab.NewCache[cell]("checked")
	if err != nil {
		panic(err)
	}
	f := new(fakeT)
	slabtest.Check(f)
	do(c)
	f.end()
	fmt.Printf("%d failures\n", len(f.errors))
	switch {
	case wants == "" && len(f.errors) == 0:
	case wants != "" && len(f.errors) == 1 && strings.Contains(f.errors[0], "BUG: quiesce: "+wants):
	default:
		panic(fmt.Sprintf("want one failure with %q: %q", wants, f.errors))
	}
}

func TestCheckFailsATestOnAReport(t *testing.T) {
	for _, c := range checked {
		t.Run(c.name, func(t *testing.T) {
			out, err := testkit.Child{Scenario: c.name, Env: []string{"QUIESCE=guard=0,quarantine=64"}}.Output()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// After its test Check is not in the way of others.
func TestCheckEndsWithItsTest(t *testing.T) {
	outer := 0
	defer slab.SetReporter(func(string) { outer++ })()
	f := new(fakeT)
	slabtest.Check(f)
	f.end()
	c, err := slab.NewCache[cell]("later")
	if err != nil {
		t.Fatal(err)
	}
	c.Alloc(gfp.Kernel)
	if err := c.Close(); err == nil || outer != 1 || len(f.errors) != 0 {
		t.Errorf("Close: %v; %d reports, and %q", err, outer, f.errors)
	}
}
