package slab

import (
	"strings"
	"testing"

	"quiesce/gfp"
)

// has checks that a report has all of the parts, in this order.
func has(t testing.TB, report string, parts ...string) {
	t.Helper()
	rest := report
	for _, p := range parts {
		_, after, ok := strings.Cut(rest, p)
		if !ok {
			t.Errorf("the report lacks %q, or has it in another place:\n%s", p, report)
			return
		}
		rest = after
	}
}

// one returns the only report.
func one(t testing.TB, reports []string) string {
	t.Helper()
	if len(reports) != 1 {
		t.Fatalf("%d reports:\n%s", len(reports), strings.Join(reports, "\n"))
	}
	return reports[0]
}

// Functions with names of their own, to be found in reports.

//go:noinline
func builder[T any](c *Cache[T]) *T { return c.Alloc(gfp.Kernel) }

//go:noinline
func owner[T any](c *Cache[T], p *T) { c.Free(p) }

//go:noinline
func retirer[T any](c *Cache[T], p *T) { c.FreeRCU(p) }

//go:noinline
func culprit[T any](c *Cache[T], p *T, rcu bool) {
	if rcu {
		c.FreeRCU(p)
	} else {
		c.Free(p)
	}
}
