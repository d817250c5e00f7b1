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

func TestHistoryHasTheLastEvents(t *testing.T) {
	for i := range eventsMost + 5 {
		Record(Event{Kind: "callback", Lasted: time.Duration(i)})
	}
	h := History()
	if len(h) != eventsMost || h[0].Lasted != 5 || h[eventsMost-1].Lasted != eventsMost+4 || h[0].When.IsZero() {
		t.Errorf("%d events: %+v", len(h), h)
	}
}

func TestCurrentIsTheStallUntilItEnds(t *testing.T) {
	Begin("a pinned reader", time.Minute)
	if reader, since := Current(); reader != "a pinned reader" || since < time.Minute {
		t.Errorf("%q, %v", reader, since)
	}
	End()
	if reader, since := Current(); reader != "" || since != 0 {
		t.Errorf("%q, %v", reader, since)
	}
}
