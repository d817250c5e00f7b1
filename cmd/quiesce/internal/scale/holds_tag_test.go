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
	// Whether a machine is fast enough is for the command to say. A map's bucket is
	// locked by a bit, so its hold is the pinned section that begins in lockFor.
	for _, want := range []string{"slab.mu", "page.zone", "rcuhash.core.lockFor", "slab.cache.freeRCU"} {
		found := false
		for _, row := range r.Rows {
			found = found || row.Name == want && row.Count > 0 && row.P50NS > 0
		}
		if !found {
			t.Errorf("no row for %s", want)
		}
	}
}

// Sections that are far too long now and then are found, whatever their kind: those
// of a P, of a map's bucket, of a slab lock and of the page allocator's.
func TestAPlantedFaultOfEachKindIsFound(t *testing.T) {
	const every, ns = 20, 200_000
	cfg := HoldsConfig{Objects: 200}
	if _, err := MeasureHolds(background, cfg, nil); err != nil { // which places there are
		t.Fatal(err)
	}
	planted := map[string]bool{"slab.cache.freeRCU": true, "rcuhash.core.lockFor": true, "slab.mu": true, "page.zone": true}
	for _, s := range holds.Read().Sites {
		name := s.Name
		if s.Kind == holds.Pinned {
			name = shortName(inner(s.Stack))
		}
		if planted[name] {
			holds.Plant(s.ID, every, ns)
			defer holds.Plant(s.ID, 0, 0)
		}
	}
	r, err := MeasureHolds(background, cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range r.Rows {
		if planted[row.Name] {
			t.Logf("%s: %d of %d above the limit, by work %d ns", row.Name, row.Over, row.Count, row.ByWorkNS)
			if row.OK {
				t.Errorf("not found: %+v", row)
			}
			delete(planted, row.Name)
		}
	}
	if len(planted) > 0 {
		t.Errorf("no rows for %v", planted)
	}
}
