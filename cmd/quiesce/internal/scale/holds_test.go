package scale

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"time"

	"quiesce/internal/holds"
	"quiesce/page"
)

func TestEveryJobOfHoldsLeavesNothingAllocated(t *testing.T) {
	pages, err := page.New(page.Config{Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range holdsJobs {
		if err := j.run(pages, 300); err != nil {
			t.Errorf("%s: %v", j.name, err)
		}
	}
	if err := pages.Close(); err != nil {
		t.Error(err)
	}
}

func TestHoldsWithoutTheTagSaysHowToRunIt(t *testing.T) {
	if holds.Enabled {
		t.Skip("this binary has the tag")
	}
	r, err := MeasureHolds(background, HoldsConfig{Objects: 1000}, nil)
	if err != nil || !strings.Contains(r.Skipped, "go run -tags holds") || !r.OK || r.Rounds != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := MeasureHolds(background, HoldsConfig{Objects: 1}, nil); !isInput(err) {
		t.Error(err)
	}
}

// sectionsOf makes a round's data: sections of the lock, by their length.
func sectionsOf(name string, byLength map[time.Duration]uint64) holds.Data {
	d := holds.Data{Reading: 1000, Control: countsOf(map[time.Duration]uint64{time.Microsecond: 100_000})}
	d.Sites = []holds.Site{{Counts: countsOf(byLength), Kind: holds.Spins, Name: name}}
	return d
}

func countsOf(byLength map[time.Duration]uint64) holds.Counts {
	c := holds.Counts{Hist: make([]uint64, holds.Buckets)}
	for d, n := range byLength {
		c.Hist[holds.Bucket(int64(d))] += n
		c.N += n
		c.Longest = max(c.Longest, int64(d))
	}
	return c
}

// The verdict: long sections count if there are more than interruptions explain,
// and in most rounds.
func TestHoldsAreJudgedByWhatInterruptionsExplain(t *testing.T) {
	const us = time.Microsecond
	short := map[time.Duration]uint64{2 * us: 10_000}
	long := func(d time.Duration, n uint64) map[time.Duration]uint64 {
		return map[time.Duration]uint64{2 * us: 10_000, d: n}
	}
	// In 100 ms of empty sections so many interruptions; in the 20 ms of the
	// sections of a round, a fifth of the control's of one round, as many are
	// expected.
	interrupted := func(n uint64) func(*holds.Data) {
		return func(d *holds.Data) {
			d.Control = countsOf(map[time.Duration]uint64{us: 100_000, 100 * us: n})
		}
	}
	quiet := func(*holds.Data) {}
	for _, c := range []struct {
		what    string
		rounds  []map[time.Duration]uint64
		control func(*holds.Data)
		ok      bool
	}{
		{"all short", []map[time.Duration]uint64{short, short, short, short}, quiet, true},
		{"long in every round", []map[time.Duration]uint64{long(70*us, 2), long(70*us, 2), long(70*us, 2), long(70*us, 2)}, quiet, false},
		{"long, but within the limit", []map[time.Duration]uint64{long(45*us, 9), long(45*us, 9), long(45*us, 9), long(45*us, 9)}, quiet, true},
		{"very long, once in every round", []map[time.Duration]uint64{long(9000*us, 1), long(9000*us, 1), long(9000*us, 1), long(9000*us, 1)}, quiet, true},
		{"a burst in one round", []map[time.Duration]uint64{short, long(500*us, 50), short, short}, quiet, true},
		{"interrupted in every round", []map[time.Duration]uint64{long(102*us, 20), long(102*us, 20), long(102*us, 20), long(102*us, 20)}, interrupted(100), true},
		{"more often than that", []map[time.Duration]uint64{long(102*us, 100), long(102*us, 100), long(102*us, 100), long(102*us, 100)}, interrupted(100), false},
		{"longer than that", []map[time.Duration]uint64{long(300*us, 20), long(300*us, 20), long(300*us, 20), long(300*us, 20)}, interrupted(100), false},
	} {
		var rounds []holds.Data
		for _, byLength := range c.rounds {
			d := sectionsOf("test.mu", byLength)
			c.control(&d)
			rounds = append(rounds, d)
		}
		r := HoldsReport{OK: true}
		r.judge(rounds)
		if len(r.Rows) != 1 || r.Rows[0].Name != "test.mu" || r.OK != c.ok || r.Rows[0].OK != c.ok {
			t.Errorf("%s: %+v", c.what, r.Rows)
		}
	}
}

func TestTheLimitIsNotForMutexes(t *testing.T) {
	var rounds []holds.Data
	for range 4 {
		d := sectionsOf("test.mu", map[time.Duration]uint64{time.Millisecond: 100})
		d.Sites[0].Kind = holds.Mutex
		rounds = append(rounds, d)
	}
	r := HoldsReport{OK: true}
	if r.judge(rounds); !r.OK || len(r.Rows) != 1 || r.Rows[0].Limited || r.Rows[0].ByWorkNS == 0 {
		t.Errorf("%+v", r)
	}
}

// A pinned section is put down to the library's function that is nearest, and the
// apparatus's own are left out.
func TestAPinnedSectionIsPutDownToAFunction(t *testing.T) {
	stack := func(functions ...string) (all []runtime.Frame) {
		for _, f := range functions {
			all = append(all, runtime.Frame{Function: modulePrefix + f})
		}
		return all
	}
	d := sectionsOf("", nil)
	d.Sites = nil
	for _, s := range [][]runtime.Frame{
		stack("internal/sys.ProcPin", "internal/percpu.Pin", "internal/pin.Disable", "lock.(*Raw).acquire", "lock.(*Raw).Lock", "rcuhash.(*Map[...]).Put", "cmd/quiesce/internal/scale.mapJob"),
		stack("internal/sys.ProcPin", "slab.(*cache).free", "slab.(*Cache[...]).Free"),
		stack("internal/sys.ProcPin", "preempt.Disable", "cmd/quiesce/internal/scale.pinnedReads"),
	} {
		d.Sites = append(d.Sites, holds.Site{Counts: countsOf(map[time.Duration]uint64{1000: 5}), Kind: holds.Pinned, Stack: s})
	}
	var r HoldsReport
	r.judge([]holds.Data{d})
	if len(r.Rows) != 2 || r.Rows[0].Name != "rcuhash.Map.Put" || r.Rows[1].Name != "slab.cache.free" || r.Rows[1].Count != 5 {
		t.Errorf("%+v", r.Rows)
	}
}

func TestHoldsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(background)
	cancel()
	r, err := MeasureHolds(ctx, HoldsConfig{Objects: 1000}, nil)
	if err != nil || r.Rounds != 0 || r.Partial != holds.Enabled {
		t.Errorf("%+v %v", r, err)
	}
}
