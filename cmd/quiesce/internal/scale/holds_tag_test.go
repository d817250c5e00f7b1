//go:build holds

package scale

import (
	"testing"

	"quiesce/internal/holds"
	"quiesce/lock"
)

// A lock that is held for long by the work of its holder is found, and the one
// that is held as often, but briefly, is not.
func TestALongHoldIsFound(t *testing.T) {
	var long, brief lock.Raw
	long.Init("test.long")
	brief.Init("test.brief")
	var rounds []holds.Data
	for range leastRounds {
		holds.Start()
		for range 20 {
			long.Lock()
			work(1 << 20)
			long.Unlock()
			brief.Lock()
			work(1)
			brief.Unlock()
		}
		holds.Stop()
		rounds = append(rounds, holds.Read())
	}
	var r HoldsReport
	r.judge(rounds)
	found := false
	for _, row := range r.Rows {
		switch row.Name {
		case "test.long":
			found = true
			if row.OK || row.Count != 20*leastRounds || row.Over != row.Count {
				t.Errorf("%+v", row)
			}
			if len(row.Where) != 1 || row.Where[0].Function != "cmd/quiesce/internal/scale.TestALongHoldIsFound" {
				t.Errorf("it ended in %+v", row.Where)
			}
		case "test.brief":
			if !row.OK {
				t.Errorf("%+v", row)
			}
		}
	}
	if !found {
		t.Errorf("not there: %+v", r.Rows)
	}
}

// work takes a millisecond or so for 1<<20.
func work(n int) {
	for i := range n {
		worked += worked<<1 ^ i
	}
}

var worked int

func TestTheWholeMeasurement(t *testing.T) {
	r, err := MeasureHolds(background, HoldsConfig{Objects: 500}, nil)
	if err != nil || r.Skipped != "" || r.Rounds < leastRounds || r.Unmeasured != 0 || r.Control.Count == 0 || r.ReadingNS <= 0 {
		t.Fatalf("%+v %v", r, err)
	}
	// Whether a machine is fast enough is for the command to say.
	for _, want := range []string{"slab.mu", "page.zone", "rcuhash.bucket", "slab.cache.freeRCU"} {
		found := false
		for _, row := range r.Rows {
			found = found || row.Name == want && row.Count > 0 && row.P50NS > 0
		}
		if !found {
			t.Errorf("no row for %s", want)
		}
	}
}
