package main

import (
	"os"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/scale"
)

func TestScalePrintsTables(t *testing.T) {
	for _, c := range []struct {
		args string
		want []string
	}{
		{"kfree -kfree_loops 2 -kfree_alloc_num 100 -kfree_nthreads 2", []string{"Total time taken by all kfree'ers: ", "loops: 2,", "all reclaimed", "400 objects of 24 bytes in 2 threads"}},
		{"kfree -preset xeon -scale 100000 -kfree_nthreads 1", []string{"the kernel then", "SLAB, arrays", "Xeon", "1/100000"}},
		{"kfree -strategy list -kfree_loops 2 -kfree_alloc_num 100", []string{"strategy list:", "0 in arrays"}},
		{"kfree -preset list", []string{"hikey", "joel", "xeon", "poll", "102.899 s"}},
		{"read -loops 100 -nruns 2 -nreaders 1", []string{"rwmutex", "lock-irq", "1 reader, 2 runs of 100 loops"}},
		{"gp -nreaders 1 -nwriters 1 -minruntime 0", []string{"start-to-end: ", "p99", "a membarrier"}},
		{"alloc -sizes 64 -cases hot,churn -repeats 1", []string{"hot", "churn", "new"}},
		{"check -list", []string{"pinned reader", "cold flood"}},
		{"check -run Call -repeats 5", []string{"≤ 0.50 ms", "to its callback", "GracePeriod/Call"}},
	} {
		out, errs, status := quiesce(t, append([]string{"scale"}, strings.Fields(c.args)...)...)
		if status != 0 && !strings.HasPrefix(c.args, "check -run") { // a target may be missed here
			t.Errorf("%s: status %d, %s", c.args, status, errs)
		}
		for _, want := range c.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in %s", c.args, want, out)
			}
		}
		if strings.ContainsAny(out+errs, "\x1b\r") {
			t.Errorf("%s: control characters, and no terminal", c.args)
		}
		for _, line := range strings.Split(out, "\n") {
			kernels := strings.HasPrefix(line, "Total time") || strings.HasPrefix(line, "start-to-end") // its own lines
			if n := len([]rune(line)); n > 80 && !kernels {
				t.Errorf("%s: %d columns: %s", c.args, n, line)
			}
		}
	}
}

func TestScaleJSONIsOneObject(t *testing.T) {
	out, errs, status := quiesce(t, "scale", "kfree", "-json", "-kfree_loops", "1", "-kfree_alloc_num", "10")
	var rep scale.KfreeReport
	oneObject(t, out, &rep, "kfree_nthreads", "queued_ns", "reclaimed_ns", "batches", "footprint_bytes")
	if status != 0 || rep.Objects == 0 {
		t.Errorf("status %d: %s %s", status, out, errs)
	}
}

func TestScaleBadUseIsOneLineAndStatusTwo(t *testing.T) {
	for _, c := range []struct{ args, want string }{
		{"", "try kfree"},
		{"nonsense", "no such test: nonsense"},
		{"kfree nonsense", "unexpected arguments"},
		{"kfree -nonsense", "-nonsense"},
		{"kfree -kfree_loops 0", "kfree_loops"},
		{"kfree -kfree_loops x", "kfree_loops"},
		{"kfree -preset none", "no preset"},
		{"kfree -scale 3", "-preset"},
		{"kfree -strategy none", "no strategy"},
		{"kfree -kfree_by_call_rcu -kfree_rcu_test_single", "not both"},
		{"read -scale_type none", "no scale_type"},
		{"gp -gp_async -gp_exp", "not both"},
		{"alloc -sizes 1,x", "numbers"},
		{"alloc -sizes 63", "63"},
		{"alloc -cases none", "no case"},
		{"check -run (", "regexp"},
		{"check -run none", "no row"},
		{"check -repeats 4", "repeats"},
		{"misses -objects 1", "objects"},
	} {
		badUse(t, c.want, append([]string{"scale"}, strings.Fields(c.args)...)...)
	}
}

func TestScaleHelp(t *testing.T) {
	out, _, status := quiesce(t, "scale", "-h")
	if status != 0 || !strings.Contains(out, "rcuscale") {
		t.Errorf("status %d: %s", status, out)
	}
	for _, task := range scaleCommand(streams{}).Commands() {
		out, errs, status := quiesce(t, "scale", task.Name(), "-h")
		if status != 0 || errs != "" || !strings.Contains(out, "Exit status:") || !strings.Contains(out, "\n  -json") {
			t.Errorf("%s: status %d: %s %s", task.Name(), status, out, errs)
		}
		for _, line := range strings.Split(out, "\n") {
			if n := len([]rune(line)); n > 80 {
				t.Errorf("%s: %d columns: %s", task.Name(), n, line)
			}
		}
	}
}

func TestScaleWithoutValgrindSaysSo(t *testing.T) {
	cmd := command("scale", "misses", "-short")
	cmd.Env = []string{"PATH=/nowhere"}
	out, err := cmd.Output()
	if err != nil || strings.Count(string(out), "\n") != 1 || !strings.Contains(string(out), "skipped: valgrind is not installed") {
		t.Errorf("%v: %s", err, out)
	}
}

func TestScaleInterruptedPrintsTheTableSoFar(t *testing.T) {
	cmd := command("scale", "kfree", "-kfree_loops", "100000000")
	out := interrupt(t, os.Interrupt, 100*time.Millisecond, "loops", cmd)
	contains(t, out, "Total time taken", "all reclaimed", "PARTIAL")
}
