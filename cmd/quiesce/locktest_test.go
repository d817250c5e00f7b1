package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/locktest"
	"quiesce/lockdep"
)

func TestLocktestPrintsTheKernelsTable(t *testing.T) {
	out, errs, status := quiesce(t, "locktest", "-rebuild=false")
	if status != 0 || errs != "" {
		t.Errorf("status %d: %s %s", status, out, errs)
	}
	for _, want := range []string{"| Wait context tests |", "|  rcu  |  raw  | spin  | mutex |",
		"raw_spinlock_t:|  ok   |  ok   |! ok   |! ok   |", "A-B-B-A deadlock:|! ok", "hard-safe-A + unsafe-B #2/321:", "testcases passed\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	if strings.Contains(out, "FAILED |") || strings.ContainsAny(out, "\x1b\r") {
		t.Error(out)
	}
	if !lockdep.Tagged && (!strings.Contains(out, "|  tag") || !strings.Contains(out, "go run -tags lockdep ./cmd/quiesce locktest")) {
		t.Error("no word of what this build can't see")
	}
	fits(t, out)
}

// From the source tree, the command sees readers too. The directory of what it
// builds is gone at the end.
func TestLocktestRebuildsItselfWithTheTag(t *testing.T) {
	dir := t.TempDir()
	cmd := command("locktest", "-run", "Wait context tests|guard")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	if strings.Count(errs.String(), "\n") != 1 || !strings.Contains(errs.String(), "building with -tags lockdep") {
		t.Errorf("stderr: %s", errs.String())
	}
	if o := out.String(); !strings.Contains(o, "testsuite: -tags lockdep") || !strings.Contains(o, "rcu_read_lock:|  ok   |  ok   |  ok   |! ok   |") || strings.Contains(o, "tag: takes") {
		t.Error(o)
	}
	empty(t, dir)
}

func empty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s is left", e.Name())
	}
}

func TestLocktestInterruptedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	cmd := command("locktest")
	cmd.Env = append(os.Environ(), "TMPDIR="+dir, "GOCACHE="+t.TempDir()) // so that the build takes a while
	if out := interrupt(t, os.Interrupt, 500*time.Millisecond, "building", cmd); out != "" {
		t.Errorf("interrupted in the build, it prints %s", out)
	}
	empty(t, dir)

	// What it has built ends with the stdin that it was given.
	cmd = command(kit.ChildArgs("locktest")...)
	var out bytes.Buffer
	cmd.Stdin, cmd.Stdout = strings.NewReader("{}\n"), &out
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "PARTIAL: interrupted") {
		t.Errorf("status %d, want 130; %s", code, out.String())
	}
}

func TestLocktestJSONIsOneObject(t *testing.T) {
	out, errs, status := quiesce(t, "locktest", "-rebuild=false", "-json", "-run", "^Wait context tests")
	if status != 0 || errs != "" {
		t.Errorf("status %d: %s", status, errs)
	}
	var rep locktest.Report
	oneObject(t, out, &rep, "testcases", "failed", "unseen", "sections", "expected", "observed", "reports")
	if !rep.OK || rep.Testcases != 36 || rep.Passed+rep.Unseen != 36 || !rep.PreemptRT || !rep.ProveRawLockNesting {
		t.Errorf("%+v", rep)
	}
}

func TestLocktestVerbosePrintsReports(t *testing.T) {
	out, _, status := quiesce(t, "locktest", "-rebuild=false", "-v", "-run", ": A-B-B-A deadlock$")
	if status != 0 || strings.Count(out, "possible circular locking dependency detected") < 6 || !strings.Contains(out, "*** DEADLOCK ***") {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestLocktestSeedShowsTheSplat(t *testing.T) {
	for _, rt := range []string{"0", "1"} {
		cmd := command("locktest", "seed")
		cmd.Env = append(os.Environ(), "QUIESCE=preempt_rt="+rt)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("preempt_rt=%s: %v", rt, err)
		}
		for _, want := range []string{
			`\[ BUG: Invalid wait context \]`, `\(page\.zone\)\{\S{4}\}-\{3:3\}`, `\(raw\)\{\S{4}\}-\{2:2\}`, `context-\{5:5\}`,
			`NoLocks\): nil, and lockdep is silent`, `on the fallback chain: [1-9]`, `([1-9]\d*) of [1-9]\d* reclaimed`,
		} {
			if !regexp.MustCompile(want).Match(out) {
				t.Errorf("preempt_rt=%s: no %s in %s", rt, want, out)
			}
		}
		if n := bytes.Count(out, []byte("[ BUG")); n != 1 {
			t.Errorf("%d reports", n)
		}
	}
}

func TestLocktestBadUseIsOneLineAndStatusTwo(t *testing.T) {
	badUses(t, "locktest", []badArgs{
		{[]string{"-nonsense"}, "-nonsense (see quiesce locktest -h)"},
		{[]string{"-run", "("}, "missing closing"},
		{[]string{"-run", "no such row"}, `no row matches -run "no such row"`},
		{[]string{"sow"}, `unexpected arguments: sow; want "seed"`},
		{[]string{"seed", "seed"}, "unexpected arguments: seed"},
		{[]string{"seed", "-json"}, "no such flag: -json"},
		{[]string{"-rebuild=maybe"}, "rebuild"},
	})
}

func TestLocktestHelp(t *testing.T) {
	out, errs, status := quiesce(t, "locktest", "-h")
	if status != 0 || errs != "" {
		t.Errorf("status %d: %s", status, errs)
	}
	eachFlag(t, []string{"locktest"}, func(f *pflag.Flag) {
		name := "-" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if !strings.Contains(out, "\n  "+name) {
			t.Errorf("the help does not describe %s", name)
		}
	})
	fits(t, out)
}

func TestLocktestTableThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	for _, args := range [][]string{{"locktest", "-rebuild=false"}, {"locktest", "seed"}} {
		cmd := command(args...)
		cmd.Stdout = full
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != 1 {
			t.Errorf("%q: status %d, want 1", args, code)
		}
	}
}

// That a wrong verdict is one of the report is cmd/quiesce/internal/locktest's to test.
func TestLocktestStatusTellsOfDifferences(t *testing.T) {
	for _, c := range []struct {
		rep  locktest.Report
		want int
	}{
		{locktest.Report{OK: true}, 0}, {locktest.Report{Failed: 1}, 1},
		{locktest.Report{OK: true, Partial: true}, 130}, {locktest.Report{Failed: 1, Partial: true}, 1},
	} {
		if got := locktestResult(&c.rep, false).status(); got != c.want {
			t.Errorf("%+v: status %d, want %d", c.rep, got, c.want)
		}
	}
}
