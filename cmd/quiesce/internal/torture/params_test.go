package torture

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParametersAreReadByName(t *testing.T) {
	p := defaults()
	err := p.set(`
		# a comment line
		nreaders=7 gp_exp=1   # and one after words
		rcutorture.stutter=0.5
		extendables=0x24
		limit=1024 torture_type=busted preempt_rt=0`)
	if err != nil {
		t.Fatal(err)
	}
	if p.nreaders != 7 || !p.gpExp || p.stutter != 0.5 || p.extendables != extPreempt|extRCU || p.kfreeLimit != 1024 ||
		p.tortureType != "busted" || p.preemptRT || p.options() != "preempt_rt=0" {
		t.Errorf("%+v", p)
	}
	if got := p.chosen(); len(got) != 1 || got[0] != byExp {
		t.Errorf("chosen ways %v", got)
	}
	q := defaults()
	if err := q.set(p.words()); err != nil || q != p {
		t.Errorf("words %q come back as %+v, %v", p.words(), q, err)
	}
	if q = defaults(); q.words() != "" || len(q.chosen()) != ways {
		t.Errorf("defaults: words %q, ways %v", q.words(), q.chosen())
	}
}

func TestBadParametersAreNamed(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"nonsense=1", "no parameter is called nonsense"},
		{"nreaders", `"nreaders" is no name=value`},
		{"nreaders=many", "nreaders=many: want a number"},
		{"nreaders=-2", "nreaders=-2: want a number from -1"},
		{"nreaders=1.5", "nreaders=1.5: want a whole number"},
		{"stutter=NaN", "stutter=NaN"},
		{"stutter=-1", "stutter=-1"},
		{"gp_exp=2", "gp_exp=2"},
		{"failslab=101", "failslab=101: want a number from 0 to 100"},
		{"torture_type=srcu", "torture_type=srcu: want rcu, batch or busted"},
		{"extendables=1", "extendables=1: nothing in it is a read-side section"},
		{"stall_cpu=20", "stall_cpu=20: more than half of watchdog=30"},
		{"limit=1", "limit=1"},
	} {
		p := defaults()
		if err := p.set(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.text, err, c.want)
		}
	}
}

// Every value of the table is the default of a parameter that set takes back,
// and every name is there once.
func TestTheTableIsWhole(t *testing.T) {
	seen := map[string]bool{}
	p := defaults()
	for _, r := range p.table() {
		if seen[r.name] || r.help == "" {
			t.Errorf("%s: twice, or without help", r.name)
		}
		seen[r.name] = true
		q := defaults()
		if err := q.set(r.name + "=" + r.value()); err != nil || q != p {
			t.Errorf("%s=%s: %v", r.name, r.value(), err)
		}
	}
}

func TestScenarioFilesAreCorrect(t *testing.T) {
	entries, err := os.ReadDir("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	all := Scenarios()
	if len(all) != len(entries) || len(all) < 12 {
		t.Errorf("%d of %d scenario files are correct", len(all), len(entries))
	}
	broken := 0
	for _, e := range entries {
		text, _ := os.ReadFile(filepath.Join("scenarios", e.Name()))
		s, err := parseScenario(e.Name(), string(text))
		if err != nil {
			t.Error(err)
			continue
		}
		if s.About == "" {
			t.Errorf("%s: no comment that describes it", e.Name())
		}
		if s.Broken {
			broken++
		}
	}
	found, err := Find("")
	if err != nil || len(found) != len(all)-broken || broken < 2 {
		t.Errorf("by default %d of %d scenarios, %d are broken, %v", len(found), len(all), broken, err)
	}
}

func TestFindTakesNamesAndFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "MINE")
	if err := os.WriteFile(file, []byte("# mine\nnreaders=3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	found, err := Find("tree01, " + file)
	if err != nil || len(found) != 2 || found[0].Name != "TREE01" || found[1].Name != "MINE" || found[1].Words() != "nreaders=3" {
		t.Errorf("%v %v", found, err)
	}
	for list, want := range map[string]string{"NONE": `no scenario is called "NONE"`, "./nowhere": "nowhere"} {
		if _, err := Find(list); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", list, err)
		}
	}
	if err := os.WriteFile(file, []byte("nonsense=1"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(file); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("%v", err)
	}
}
