package stall

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAStallIsInTheAttributesUntilItEnds(t *testing.T) {
	if got := Attrs(); got != nil {
		t.Errorf("without a stall: %v", got)
	}
	Begin("a pinned reader", time.Minute)
	got := Attrs()
	if len(got) != 1 || !strings.Contains(got[0].(slog.Attr).String(), "a pinned reader has held up the grace period for 1m0s") {
		t.Errorf("%v", got)
	}
	End()
	if got := Attrs(); got != nil {
		t.Errorf("after its end: %v", got)
	}
}

func TestCostsAreAskedWhenTheyAreWanted(t *testing.T) {
	n := 0
	AddCost(func() slog.Attr { n++; return slog.Int("callbacks", n) })
	if n != 0 {
		t.Error("asked before a report")
	}
	Costs()
	if got := Costs(); len(got) != 1 || got[0].Value.Int64() != 2 {
		t.Errorf("%v", got)
	}
}
