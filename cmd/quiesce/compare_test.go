package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/compare"
)

func TestComparePrintsTablesAndWritesThePage(t *testing.T) {
	if testing.Short() {
		t.Skip("measures for some seconds")
	}
	file := filepath.Join(t.TempDir(), "report.html")
	out, errs, status := quiesce(t, "compare", "-strategies", "list,sheaf", "-objects", "2000", "-html", file)
	if status != 0 {
		t.Errorf("status %d: %s", status, errs)
	}
	for _, want := range []string{"preempt_rt=1", "preempt_rt=0", "enqueue", "hand-over", "kfree_bulk", "next first write", "survives", "timed cells"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the output", want)
		}
	}
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
	for _, line := range strings.Split(out, "\n") {
		if n := len([]rune(line)); n > 120 && !strings.Contains(line, "\"") && !strings.HasPrefix(line, "quiesce") {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	page, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(page), "</html>") {
		t.Errorf("the page: %v, %d bytes", err, len(page))
	}
}

func TestCompareExplainsItself(t *testing.T) {
	out, _, status := quiesce(t, "compare", "-h")
	for _, s := range compare.Strategies {
		if !strings.Contains(out, s.Name) {
			t.Errorf("-h does not name %s", s.Name)
		}
	}
	if status != 0 || !strings.Contains(out, "-html") || !strings.Contains(out, "Exit status") {
		t.Errorf("status %d: %s", status, out)
	}
	for _, args := range [][]string{
		{"-strategies", "magic"}, {"-objects", "1"}, {"-nonsense"}, {"-json", "-csv"}, {"something"}, {"-html", "/nowhere/at/all.html"},
	} {
		badUse(t, "quiesce compare: ", append([]string{"compare"}, args...)...)
	}
}

func TestCompareInterruptedIsPartial(t *testing.T) {
	cmd := exec.Command(binary, "compare", "-json", "-objects", "2000")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	cmd.Process.Signal(syscall.SIGINT)
	cmd.Wait()
	if s := cmd.ProcessState.ExitCode(); s != 130 {
		t.Errorf("status %d: %s", s, errs.String())
	}
	var rep compare.Report
	if err := json.Unmarshal(out.Bytes(), &rep); err != nil || !rep.Partial {
		t.Errorf("%v, partial %v", err, rep.Partial)
	}
}
