package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/predict"
)

// quick is a run that is over in a second or two; its figures are worth nothing.
func quick(t *testing.T, args ...string) []string {
	return append([]string{"predict", "-effort", "0.02", "-calibration", filepath.Join(t.TempDir(), "model.json")}, args...)
}

// skipBusy skips the test where the system has no two processors to measure on.
func skipBusy(t *testing.T, errs string) {
	t.Helper()
	if strings.Contains(errs, "never ran two threads") {
		t.Skip(errs)
	}
}

// The status depends on how quiet the machine is; the text must agree with it.
func TestPredictPrintsTablesAndTheAnswer(t *testing.T) {
	out, errs, status := quiesce(t, quick(t, "-ps", "1,2,8")...)
	skipBusy(t, errs)
	if status != 0 && status != 1 {
		t.Fatalf("status %d: %s", status, errs)
	}
	for _, want := range []string{"-seed 1", "membarrier_peer_ns", "Assumed", "GOMAXPROCS", "depot wait %", "Other designs", "Answer:"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if off := strings.Contains(out, "30 % OFF"); off != (status == 1) {
		t.Errorf("status %d, and the text says otherwise:\n%s", status, out)
	}
	if !strings.Contains(errs, "calibrating") || strings.ContainsAny(out+errs, "\x1b\r") {
		t.Errorf("stderr: %q", errs)
	}
}

func TestPredictJSONIsOneObjectAndTheCalibrationIsUsedAgain(t *testing.T) {
	args := quick(t, "-ps=4", "-json", "-work=50ns", "-seed=0")
	var params predict.Params
	for i := range 2 {
		out, errs, status := quiesce(t, args...)
		skipBusy(t, errs)
		var rep predict.Report
		if oneObject(t, out, &rep); status > 1 {
			t.Fatalf("status %d: %s %s", status, out, errs)
		}
		if len(rep.Rows) != 1 || rep.Rows[0].Ps != 4 || rep.WorkNs != 50 || rep.Seed == 0 || len(rep.Answer) == 0 {
			t.Errorf("%+v", rep)
		}
		if i == 0 {
			params = rep.Params
		} else if rep.Params != params || strings.Contains(errs, "calibrating") {
			t.Errorf("measured anew: %s", errs)
		}
	}
	if _, errs, _ := quiesce(t, append(args, "-recalibrate")...); !strings.Contains(errs, "calibrating") {
		t.Errorf("-recalibrate did not: %s", errs)
	}
}

func TestPredictRefusesBadFlags(t *testing.T) {
	for _, args := range [][]string{{"-ps", "0"}, {"-ps", "8,,9"}, {"-ps", "5000"}, {"-ps", "x"}, {"-work", "-1ns"}, {"-effort", "0"}, {"-effort", "NaN"}, {"-nosuch"}, {"word"}} {
		badUse(t, "quiesce predict -h", append([]string{"predict"}, args...)...)
	}
}

func TestPredictHelpTeaches(t *testing.T) {
	out, _, status := quiesce(t, "predict", "-h")
	for _, want := range []string{"-ps", "-recalibrate", "-json", "-work", "Columns", "Examples", "Exit status"} {
		if status != 0 || !strings.Contains(out, want) {
			t.Errorf("status %d; no %q in the help", status, want)
		}
	}
	fits(t, out)
}

func TestPredictEndsOnInterrupt(t *testing.T) {
	out := interrupt(t, os.Interrupt, 500*time.Millisecond, "measuring", command(quick(t, "-effort=20")...))
	if out != "" {
		t.Errorf("interrupted, it prints %q", out)
	}
}

// What was counted is an input like others.
func TestPredictRefusesWhatIsNoCount(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.json")
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{none, bad} {
		_, errs, status := quiesce(t, "predict", "-shared="+name)
		if status != 2 || !strings.Contains(errs, "-shared") {
			t.Errorf("%s: status %d: %s", name, status, errs)
		}
	}
}
