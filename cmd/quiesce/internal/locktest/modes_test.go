package locktest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

// tableOf runs the table in a process of its own, under options, and returns
// what was observed by section, row and column; "" where nothing was run.
func tableOf(t *testing.T, options string) map[string]string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts processes")
	}
	out := filepath.Join(t.TempDir(), "table")
	cmd := exec.Command(os.Args[0], "-test.run=^TestWriteTheTable$")
	cmd.Env = append(os.Environ(), "QUIESCE="+options, "QUIESCE_SELFTEST_OUT="+out)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", options, err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var rep Report
	if err := json.Unmarshal(text, &rep); err != nil {
		t.Fatal(err)
	}
	table := map[string]string{}
	for _, s := range rep.Sections {
		for _, r := range s.Rows {
			for _, c := range r.Cells {
				table[s.Title+": "+r.Name+", "+c.Column] = c.Observed
				if !c.Pass && !c.Unseen {
					t.Errorf("%s: %s, %s: observed %s %q", options, r.Name, c.Column, c.Observed, c.Reports)
				}
			}
		}
	}
	return table
}

func TestWriteTheTable(t *testing.T) {
	out := os.Getenv("QUIESCE_SELFTEST_OUT")
	if out == "" {
		t.Skip("for the tests below, in a process of its own")
	}
	text, err := json.Marshal(Run(context.Background(), Config{}, nil))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

func differences(a, b map[string]string) (names []string) {
	for name := range a {
		if a[name] != b[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func TestTheVerdictsDoNotDependOnPreemptRT(t *testing.T) {
	spins, sleeps := tableOf(t, "preempt_rt=0"), tableOf(t, "preempt_rt=1")
	if d := differences(spins, sleeps); len(d) > 0 || len(spins) != len(sleeps) {
		t.Errorf("preempt_rt changes %q", d)
	}
}

// With prove_raw_lock_nesting=0 a spin lock is one that spins: what it changes
// is that it may be taken where a raw one may, and nothing else.
func TestProveRawLockNestingChangesSpinUnderRawAlone(t *testing.T) {
	changed := differences(tableOf(t, "prove_raw_lock_nesting=1"), tableOf(t, "prove_raw_lock_nesting=0"))
	want := []string{
		"Wait context tests: hardirq (not threaded), spin",
		"Wait context tests: raw_spinlock_t, spin",
		"Wait context tests: rcu_read_lock_sched, spin",
	}
	for _, n := range []string{
		"spin under raw got by TryLock", "write lock under raw", "read lock under raw", "spin with interrupts off",
		"spin with LockIRQ of a raw held", "spin in rcu_read_lock under raw", "spin under raw, with a mutex held",
	} {
		want = append(want, "Other wait contexts: "+n+", verdict")
	}
	for _, n := range []string{"local under raw", "local in preempt_disable", "local in a hard interrupt"} {
		want = append(want, "lock.Local: "+n+", verdict")
	}
	for _, n := range []string{"raw held", "raw held by LockIRQ", "hardirq (not threaded)", "interrupts off", "rcu_read_lock_sched"} {
		want = append(want, "Sleeping and allocation: "+n+", Atomic", "Sleeping and allocation: "+n+", NoWait")
	}
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		t.Errorf("changed:\n%q\nwant:\n%q", changed, want)
	}
}
