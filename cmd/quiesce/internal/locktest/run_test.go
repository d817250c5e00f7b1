package locktest

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"testing"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/lock"
)

// The table can fail: each wrong expectation, and each result that is right for
// the wrong reason, is reported.
func TestABrokenExpectationFails(t *testing.T) {
	for _, c := range []struct {
		about string
		r     row
		want  string
	}{
		{"silence where a report is expected", row{verdicts: "x", kind: circular, script: "S:A S:B"}, "observed: silence"},
		{"a report where silence is expected", row{verdicts: ".", script: "S:A S:A'"}, "observed: " + recursion},
		{"another report than expected", row{verdicts: "x", kind: circular, script: "S:A S:A'"}, "observed: " + recursion},
		{"the report, and one that must not come with it", row{verdicts: "x", kind: recursion, script: "S:A S:A' M:B"}, "observed: " + recursion + ", " + wait},
		{"a panic", row{verdicts: ".", body: func(*bench) { panic("no such lock") }}, "panic:    no such lock"},
		{"a lock that is not released", row{verdicts: ".", body: func(b *bench) { b.lock("M:A").(*lock.Mutex).Lock(); b.run(nil) }}, "observed: " + stillHeld},
	} {
		c.r.name = "broken"
		rep := runSections(context.Background(), Config{}, []section{{"Broken", []string{"verdict"}, []row{c.r}}}, nil)
		var out bytes.Buffer
		rep.Print(&out, false)
		if rep.OK || rep.Failed != 1 || !strings.Contains(out.String(), "FAILED: 1 of 1 testcases failed") ||
			!strings.Contains(out.String(), "broken:|FAILED |") || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s: %+v\n%s", c.about, rep, out.String())
		}
	}
}

func TestTheTableLinesUp(t *testing.T) {
	rep := Run(context.Background(), Config{}, nil)
	var out bytes.Buffer
	rep.Print(&out, false)
	width := 0
	for _, line := range strings.Split(out.String(), "\n") {
		if n := len(line); n > 90 {
			t.Errorf("%d columns: %s", n, line)
		}
		switch {
		case strings.HasPrefix(line, strings.Repeat(" ", nameWidth)+" |"):
			width = len(line)
		case len(line) > nameWidth+2 && line[nameWidth:nameWidth+2] == ":|":
			if len(line) != width {
				t.Errorf("does not line up: %s", line)
			}
		}
	}
	if !rep.OK || rep.Passed+rep.Unseen != rep.Testcases || !strings.Contains(out.String(), "testcases passed") {
		t.Errorf("%s", out.String())
	}
}

func TestMatchAndInterrupt(t *testing.T) {
	rep := Run(context.Background(), Config{Match: regexp.MustCompile("^Wait context tests: mutex$")}, nil)
	if rep.Testcases != 4 || len(rep.Sections) != 1 || len(rep.Sections[0].Rows) != 1 || !rep.OK || rep.Partial {
		t.Errorf("%+v", rep)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := 0
	rep = Run(ctx, Config{}, func(kit.Step) {
		if n++; n == 7 {
			cancel()
		}
	})
	if rep.Testcases != 7 || !rep.Partial {
		t.Errorf("%d testcases, partial %v", rep.Testcases, rep.Partial)
	}
	var out bytes.Buffer
	rep.Print(&out, false)
	if !strings.Contains(out.String(), "PARTIAL: interrupted; the first 7") {
		t.Error(out.String())
	}
}
