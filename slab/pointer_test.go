package slab

import (
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
)

var global cell

// checks says whether this build is one of those that check what a Pointer is set
// to.
const checks = PoisonEnabled || depcheck.Tagged

// noRest has a child with -race end at once.
const noRest = "GORACE=atexit_sleep_ms=0"

// goLinks are links to Go's memory, by the operation that makes them.
var goLinks = map[string]func(p *Pointer[cell]){
	"Store":              func(p *Pointer[cell]) { p.Store(new(cell)) },
	"Store, of a global": func(p *Pointer[cell]) { p.Store(&global) },
	"Store, pinned": func(p *Pointer[cell]) {
		pin := preempt.Disable()
		p.Store(&global)
		pin.Enable()
	},
	"Swap":           func(p *Pointer[cell]) { p.Swap(&global) },
	"CompareAndSwap": func(p *Pointer[cell]) { p.CompareAndSwap(nil, &global) },
}

// The collector frees what only a Pointer points to. Builds with checks report
// the link when it is made, and a test run ends there.
func TestALinkToGoMemoryFailsTheTestRunOfABuildWithChecks(t *testing.T) {
	if scenario := testkit.Scenario(); scenario != "" {
		var p Pointer[cell]
		goLinks[scenario](&p)
		fmt.Println("the program went on, and has its link:", p.LoadRaw() != nil)
		return
	}
	for what := range goLinks {
		t.Run(what, func(t *testing.T) {
			for _, stays := range []bool{false, true} {
				c := testkit.OfTest(t, what)
				c.TestRun = true
				c.Env = []string{"QUIESCE=", noRest}
				if stays {
					c.Env = []string{"QUIESCE=panic_on_report=0", noRest}
				}
				out, err := c.Output()
				passes := err == nil
				if want := !checks || stays; passes != want || strings.Contains(out, "has its link: true") != want {
					t.Errorf("with panic_on_report=0 %v: passes %v, want %v", stays, passes, want)
				}
				op, _, _ := strings.Cut(what, ",")
				for _, part := range []string{"slab.Pointer[slab.cell]." + op + " of addr 0x", "pointer_test.go:",
					"in no allocator's range", "or link Go objects by an atomic.Pointer"} {
					if strings.Contains(out, part) != checks {
						t.Errorf("the report must have %q: %v\n%s", part, checks, out)
					}
				}
			}
		})
	}
}

// Whatever memory of the package a Pointer is set to, no build says anything.
func TestALinkToMemoryOfThePackageIsSilent(t *testing.T) {
	if testkit.Scenario() == "" {
		for _, options := range []string{"", "guard=1"} {
			c := testkit.OfTest(t, "1", "QUIESCE="+options, noRest)
			c.TestRun = true
			if out, err := c.Output(); err != nil || strings.Contains(out, "slab.Pointer") {
				t.Errorf("QUIESCE=%s: %v\n%s", options, err, out)
			}
		}
		return
	}
	var p Pointer[cell]
	var inside Pointer[uint64]
	link := func(v *cell) {
		old := p.LoadRaw()
		p.Store(v)
		if p.Swap(v) != v || !p.CompareAndSwap(v, old) || !p.CompareAndSwap(old, nil) {
			t.Error("the link is another")
		}
		inside.Store(&v.body[2]) // as where a list's node is a field
	}
	for range 2 { // the second allocator has the range of the first
		a := newPages(t, 0)
		c := newTest[cell](t, a)
		h := NewHeap(a)
		v, small, large, pages := c.Alloc(gfp.Kernel), h.Kmalloc(64, gfp.Kernel), h.Kmalloc(1<<20, gfp.Kernel), a.Alloc(3, gfp.Kernel)
		link(v)
		link((*cell)(small))
		link((*cell)(large))
		link((*cell)(pages))
		link((*cell)(unsafe.Add(pages, page.Size<<3-unsafe.Sizeof(cell{}))))
		g := rcu.ReadLock()
		c.FreeRCU(v)
		link(v) // until the section ends it is an object
		g.Unlock()
		h.Kfree(small)
		h.Kfree(large)
		a.Free(pages, 3)
		mustClose(t, c, h, a)
	}
	q := Kmalloc(64, gfp.Kernel) // of the default allocator
	link((*cell)(q))
	Kfree(q)
}
