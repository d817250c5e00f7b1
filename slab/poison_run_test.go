//go:build poison

package slab

import (
	"fmt"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
)

// wrongPrograms are programs that go on after their report, if it is up to
// them, with the report's headline.
var wrongPrograms = []struct{ name, says string }{
	{"double free, recovered", "BUG: quiesce: double-free in "},
	{"double free, recovered elsewhere", "BUG: quiesce: double-free in "},
	{"foreign free, recovered", "BUG: quiesce: invalid-free in "},
	{"write after free", "BUG: quiesce: slab-use-after-free"},
	{"write after free, found while pinned", "BUG: quiesce: slab-use-after-free"},
	{"write past the end", "BUG: quiesce: slab-out-of-bounds"},
	{"leak", "BUG: quiesce: slab-leak in cache wrong"},
}

func runWrongProgram(name string) {
	c, err := NewCache[cell]("wrong")
	if err != nil {
		panic(err)
	}
	recovered := func(fn func()) {
		defer func() { _ = recover() }()
		fn()
	}
	p := builder(c)
	switch name {
	case "double free, recovered":
		owner(c, p)
		recovered(func() { culprit(c, p, false) })
	case "double free, recovered elsewhere":
		owner(c, p)
		<-testkit.Async(func() { recovered(func() { culprit(c, p, false) }) })
	case "foreign free, recovered":
		recovered(func() { c.Free((*cell)(NewHeap(c.c.pages).Kmalloc(60, gfp.Kernel))) })
	case "write after free":
		owner(c, p)
		*at(p, 16) = 1
		c.Shrink()
	case "write after free, found while pinned":
		owner(c, p)
		*at(p, 16) = 1
		whilePinned(func() { c.c.poison.release(c.c.poison.quarantine.pop()) })
	case "write past the end":
		*at(p, 64) = 1
		c.Free(p)
	case "leak":
		_ = c.Close()
	}
	fmt.Println("the program went on")
}

// A test run with a report fails, whatever recovers panics, and whether the
// program continues or not. With QUIESCE=panic_on_report=0 and with a reporter
// it is left alone.
func TestAReportFailsTheTestRun(t *testing.T) {
	if scenario := testkit.Scenario(); scenario != "" {
		name, taken := strings.CutSuffix(scenario, " with a reporter")
		if taken {
			SetReporter(func(string) {})
		}
		runWrongProgram(name)
		return
	}
	run := func(scenario, options string) (out string, passes bool) {
		c := testkit.OfTest(t, scenario, "QUIESCE=guard=0,quarantine=1M"+options)
		c.TestRun = true
		out, err := c.Output()
		return out, err == nil
	}
	for _, p := range wrongPrograms {
		t.Run(p.name, func(t *testing.T) {
			out, passes := run(p.name, "")
			if passes || strings.Contains(out, "the program went on") {
				t.Errorf("passes %v", passes)
			}
			has(t, out, p.says, "the report above ends this test run")
			out, passes = run(p.name, ",panic_on_report=0")
			if !passes {
				t.Error("fails with panic_on_report=0")
			}
			has(t, out, p.says, "the program went on")
			out, passes = run(p.name+" with a reporter", "")
			if !passes || strings.Contains(out, p.says) {
				t.Errorf("with a reporter: passes %v\n%s", passes, out)
			}
			out, passes = run(p.name, ",panic_on_report=1")
			if passes && !strings.Contains(p.name, "recovered") {
				t.Error("passes with panic_on_report=1")
			}
			has(t, out, p.says)
		})
	}
}
