//go:build !asan && (poison || !race) && linux && (amd64 || arm64)

package slab

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Functions with names of their own, to be found in Go's trace. They use at, and
// not p.body[1], for which race builds look first whether p is nil by reading it.

//go:noinline
func reader(p *cell) uint64 { return *(*uint64)(unsafe.Pointer(at(p, 16))) }

//go:noinline
func writer(p *cell, v uint64) { *(*uint64)(unsafe.Pointer(at(p, 16))) = v }

//go:noinline
func runner(p *cell) { *at(p, 64) = 1 }

var faultScenarios = []struct {
	name string
	do   func(c *Cache[cell], p *cell)
	want []string // of the report, then of Go's trace
}{
	{"read after Free", func(c *Cache[cell], p *cell) { owner(c, p); reader(p) },
		[]string{"BUG: quiesce: slab-use-after-free in the function at pc 0x", "Read at addr 0x", "\nAllocated by goroutine ", "slab.builder",
			"\nFreed by goroutine ", "slab.owner", "located 16 bytes inside of\nfreed 56-byte object [0x", "of cache fault", "It is a guarded object",
			"unexpected fault address 0x", "slab.reader("}},
	{"write after FreeRCU", func(c *Cache[cell], p *cell) { retirer(c, p); c.Barrier(); writer(p, 1) },
		[]string{"BUG: quiesce: slab-use-after-free", "Write at addr 0x", "slab.builder",
			"\nIts grace period has ended and it was freed. Given to FreeRCU by goroutine ", "slab.retirer", "inside of\nfreed 56-byte", "slab.writer("}},
	{"write beyond the end", func(c *Cache[cell], p *cell) { runner(p) },
		[]string{"BUG: quiesce: slab-out-of-bounds", "Write at addr 0x", "slab.builder", "located 8 bytes after\nallocated 56-byte", "slab.runner("}},
	{"pinned", func(c *Cache[cell], p *cell) {
		owner(c, p)
		pin := preempt.Disable()
		reader(p)
		pin.Enable()
	}, []string{"BUG: quiesce: slab-use-after-free", "slab.builder", "slab.owner", "slab.reader("}},
	{"another goroutine, in a reader, freed in a hard interrupt", func(c *Cache[cell], p *cell) {
		preempt.Hardirq(func() { owner(c, p) })
		for c.c.workers.Load() > 0 { // it is protected by a goroutine
		}
		done := make(chan struct{})
		go func() {
			g := rcu.ReadLock()
			reader(p)
			g.Unlock()
			close(done)
		}()
		<-done
	}, []string{"BUG: quiesce: slab-use-after-free", "slab.owner", "slab.reader("}},
}

// The access itself faults; the report and Go's trace of the access are both
// there, whatever goroutine it was in.
func TestAnAccessToAFreedGuardedObjectFaultsWithTheReport(t *testing.T) {
	if name := testkit.Scenario(); name != "" {
		c, _ := NewCache[cell]("fault")
		for _, s := range faultScenarios {
			if s.name == name {
				s.do(c, builder(c))
			}
		}
		os.Exit(0)
	}
	options := "QUIESCE=guards=1,report_faults=1"
	if poisonOn {
		options = "QUIESCE=guard=1"
	}
	for _, s := range faultScenarios {
		t.Run(s.name, func(t *testing.T) {
			out, err := testkit.OfTest(t, s.name, options).Output()
			var exit *exec.ExitError
			if !errors.As(err, &exit) {
				t.Errorf("the child survived: %v", err)
			}
			if strings.Count(out, "BUG: quiesce") != 1 {
				t.Errorf("not one report")
			}
			has(t, out, s.want...)
			if testing.Verbose() {
				t.Logf("%s", out)
			}
		})
	}
}
