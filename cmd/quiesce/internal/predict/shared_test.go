package predict

import (
	"encoding/json"
	"strings"
	"testing"
)

// countedAs is what tests/shared prints if all is as foretold, times what a figure is
// off by.
func countedAs(t *testing.T, p *Params, off map[string]float64) []Counted {
	t.Helper()
	var rows []map[string]any
	for _, w := range []string{"alloc", "churn", "sheaf", "remote", "read"} {
		for _, ps := range []int{2, 16, sharedPs} {
			s, ok := p.Foretell(w, Counting{Ps: ps, Procs: 2, Objects: 1 << 22}, 0)
			if !ok {
				t.Fatalf("nothing is foretold of %s", w)
			}
			f := func(what string, v float64) float64 {
				if x, is := off[w+" "+what]; is {
					return v * x
				}
				return v
			}
			rows = append(rows, map[string]any{"workload": w, "gomaxprocs": ps, "per_1000_objects": map[string]float64{
				"read_modify_writes": f("RMWs", s.RMWs), "holds": f("holds", s.Holds), "membarriers": f("membarriers", s.Membarriers), "grace_periods": 1,
			}})
		}
	}
	b, err := json.Marshal(map[string]any{"ok": true, "cpus": 2, "objects": 1 << 22, "rows": rows})
	if err != nil {
		t.Fatal(err)
	}
	counted, err := ReadCounted(strings.NewReader(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return counted
}

func TestWhatIsForetoldIsComparedWithWhatWasCounted(t *testing.T) {
	p := some()
	for _, x := range []struct {
		off   map[string]float64
		wrong int
	}{
		{nil, 0},
		{map[string]float64{"churn RMWs": 1.2, "sheaf holds": 0.8}, 0},
		{map[string]float64{"churn RMWs": 1.5}, 1},
		{map[string]float64{"churn RMWs": 0.7}, 1},
		{map[string]float64{"churn holds": 3, "sheaf membarriers": 2}, 2},
	} {
		wrong := 0
		for _, f := range p.foretell(0, countedAs(t, p, x.off)) {
			if f.Counted == nil || f.Ps != sharedPs {
				t.Errorf("%s of %s: not compared", f.What, f.Workload)
			}
			if !f.OK {
				wrong++
			}
		}
		if wrong != x.wrong {
			t.Errorf("%v: %d figures are off, want %d", x.off, wrong, x.wrong)
		}
	}
	for _, f := range p.foretell(0, nil) {
		if f.Counted != nil || !f.OK {
			t.Errorf("%s of %s was not counted, and is compared", f.What, f.Workload)
		}
	}
}

// A grace period is for helpOwn of objects, and a depot without room costs locks.
func TestForetellFollowsTheDesign(t *testing.T) {
	p := some()
	run := Counting{Ps: 64, Procs: 2, Objects: sharedObjects}
	s, _ := p.Foretell("churn", run, 0)
	near(t, "membarriers", s.Membarriers, 1000*objectSize/float64(helpOwn), 0.01)
	if b, _ := p.Foretell("churn", run, 0.5); b.Holds < s.Holds+3 || b.RMWs <= s.RMWs {
		t.Errorf("half freed in bulk: %+v, none: %+v", b, s)
	}
	if o, _ := p.Foretell("sheaf", run, 0); o.RMWs >= s.RMWs {
		t.Errorf("a Sheaf shares %v read-modify-writes, a cache %v", o.RMWs, s.RMWs)
	}
}

func TestReadCountedRefusesOthersFiles(t *testing.T) {
	for _, text := range []string{"", "per 1,000 objects", "{}", `{"rows":[]}`, `{"rows":[{"workload":"churn"}]}`} {
		if _, err := ReadCounted(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), "tests/shared") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
