package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/torture"
)

func TestTortureOfABrokenRCUFailsWithinSeconds(t *testing.T) {
	for _, name := range []string{"BUSTED", "PLANT-UAF"} {
		start := time.Now()
		out, errs, status := quiesce(t, "torture", "-scenario", name, "-duration", "1m")
		if status != 1 || !strings.Contains(out, "!!!") || !strings.Contains(out, "End of test: FAILURE") || !strings.Contains(out, "FAILED: 1 of 1") {
			t.Errorf("%s: status %d, %s %s", name, status, out, errs)
		}
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: it took %v to fail", name, took)
		}
	}
}

func TestTorturePrintsSummariesAndATable(t *testing.T) {
	out, errs, status := quiesce(t, "torture", "-scenario", "TREE01,RT0", "-duration", "1s", "-seed", "42", "-fault", "5", "-bootargs", "stat_interval=0.1")
	if status != 0 {
		t.Errorf("status %d: %s %s", status, out, errs)
	}
	contains(t, out, "TREE01: rtc: ", "RT0: Reader Pipe: ", "Reader Batch: ", "Free-Block Circulation: ", "rtmbe: 0", "rtbe: 0",
		"kfree: allocated", "End of test: SUCCESS", "│ TREE01 ", "│ RT0 ", "-seed 42", "\nok: no failures\n")
	if !strings.Contains(errs, "reads/s") {
		t.Errorf("no progress: %s", errs)
	}
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
}

func TestTortureJSONIsOneObject(t *testing.T) {
	out, errs, status := quiesce(t, "torture", "-json", "-scenario", "TINY", "-duration", "500ms")
	if status != 0 {
		t.Errorf("status %d: %s", status, errs)
	}
	var rep torture.Report
	oneObject(t, out, &rep, "rtmbe", "reader_pipe", "free_block_circulation", "grace_periods", "peak_bytes", "failslab_injected")
	if !rep.OK || len(rep.Results) != 1 || rep.Results[0].Reads == 0 || rep.Results[0].Procs != 1 {
		t.Errorf("%+v", rep)
	}
}

func TestTortureBadUseIsOneLineAndStatusTwo(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("nreaders=none"), 0o644); err != nil {
		t.Fatal(err)
	}
	badUses(t, "torture", []badArgs{
		{[]string{"-scenario", "NONE"}, `no scenario is called "NONE"`},
		{[]string{"-scenario", bad}, "nreaders=none: want a number"},
		{[]string{"-scenario", "./nowhere"}, "nowhere"},
		{[]string{"-bootargs", "nonsense=1"}, "no parameter is called nonsense"},
		{[]string{"-duration", "0s"}, "more than 0"},
		{[]string{"-fault", "101"}, "from 0 to 100"},
		{[]string{"-seed", "x"}, "seed"},
		{[]string{"TREE01"}, "-scenario"},
	})
}

func TestTortureHelpAndList(t *testing.T) {
	help, _, status := quiesce(t, "torture", "-h")
	list, _, status2 := quiesce(t, "torture", "-list")
	if status != 0 || status2 != 0 {
		t.Errorf("status %d and %d", status, status2)
	}
	for _, p := range torture.Params() {
		if !strings.Contains(help, "\n  "+p[0]+"="+p[1]) {
			t.Errorf("the help does not tell of %s", p[0])
		}
	}
	for _, s := range torture.Scenarios() {
		if !strings.Contains(list, "│ "+s.Name+" ") {
			t.Errorf("the list lacks %s", s.Name)
		}
	}
	fits(t, help+list)
}

func TestTortureInterruptedPrintsTheSummarySoFar(t *testing.T) {
	cmd := command("torture", "-scenario", "TREE01,TREE03", "-duration", "10m", "-bootargs", "stat_interval=0.1")
	out := interrupt(t, os.Interrupt, 0, "reads/s", cmd)
	contains(t, out, "TREE01: Reader Pipe:", "End of test: INTERRUPTED", "TREE03: NOT RUN", "PARTIAL")
}
