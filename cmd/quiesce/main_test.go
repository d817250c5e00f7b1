package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/demo"
)

var binary string // the command, built once

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "quiesce")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "quiesce")
		if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			panic(fmt.Sprintf("%v: %s", err, out))
		}
		return m.Run()
	}())
}

func files(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 200 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("file%d", i)), make([]byte, i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// command returns the command with arguments, to be run.
func command(args ...string) *exec.Cmd { return exec.Command(binary, args...) }

// quiesce returns what the command wrote, and its exit status.
func quiesce(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	cmd := command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestARunPrintsTheTablesAndEndsWithZero(t *testing.T) {
	out, errs, status := quiesce(t, "demo", "-duration", "300ms", "-flood", "10000", "-seed", "42", files(t))
	if status != 0 {
		t.Errorf("status %d: %s", status, errs)
	}
	contains(t, out, "-seed 42", "lookups", "replacements", "lock.Raw held", "hard interrupt",
		"fallback chain", "whole-sheaf reuse", "kfree_bulk", "NoLocks refusals", "grace periods",
		"off-heap peak", "Go GC pause", "integrity errors", "leaks", "Cold flood", "hand-over", "bare walk", "\nok:")
	for _, line := range strings.Split(out, "\n") {
		if n := len([]rune(line)); n > 80 && !strings.Contains(line, "-seed") { // the path may be long
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if strings.ContainsAny(out+errs, "\x1b\r") {
		t.Error("control characters, and no terminal")
	}
	if strings.Contains(out, "PARTIAL") {
		t.Error("a whole run says that it is partial")
	}
}

func TestJSONIsOneObjectOnStdout(t *testing.T) {
	// Flags may follow DIR.
	out, errs, status := quiesce(t, "demo", files(t), "-json", "-duration=300ms", "-flood=0", "-readers=3", "--writers=2", "-limit=64M")
	if status != 0 {
		t.Errorf("status %d: %s", status, errs)
	}
	var rep demo.Report
	oneObject(t, out, &rep)
	if !rep.OK || rep.Partial || rep.Files != 200 || rep.Readers != 3 || rep.Writers != 2 || rep.LimitBytes != 64<<20 || rep.ColdFlood != nil {
		t.Errorf("%+v", rep)
	}
	var loose map[string]any
	if err := json.Unmarshal([]byte(out), &loose); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ok", "seed", "lookups_per_s", "replacements_per_s", "deletes_per_s", "free_rcu_by_context",
		"objects_by_route", "no_locks_objects_refused", "grace_periods", "off_heap_peak_bytes", "off_heap_limit_bytes",
		"gc_cycles", "gc_pause_total_ns", "gc_pause_max_ns", "integrity_errors", "leaks"} {
		if loose[name] == nil {
			t.Errorf("no %q", name)
		}
	}
}

// Bad use is one clear line on stderr, nothing on stdout, and status 2.
func TestBadUseIsOneLineAndStatusTwo(t *testing.T) {
	dir, empty := files(t), t.TempDir()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"nonsense"}, "no such command: nonsense (see quiesce -h)"},
		{[]string{"-nonsense"}, "no such flag: -nonsense"},
		{[]string{"demo", "-nonsense", dir}, "-nonsense (see quiesce demo -h)"},
		{[]string{"demo", "-duration", "ten", dir}, `"ten"`},
		{[]string{"demo", "-duration", "-1s", dir}, "more than 0"},
		{[]string{"demo", "-readers", "-1", dir}, "readers"},
		{[]string{"demo", "-writers", "many", dir}, `"many"`},
		{[]string{"demo", "-limit", "5X", dir}, "want bytes"},
		{[]string{"demo", "-limit", "1", dir}, "below"},
		{[]string{"demo", "-flood", "-1", dir}, "flood"},
		{[]string{"demo", "-seed", "-1", dir}, "seed"},
		{[]string{"demo", "-seed"}, "seed"},
		{[]string{"demo", dir, dir}, "unexpected arguments: " + dir + " " + dir + "; want one DIR"},
		{[]string{"demo", filepath.Join(dir, "nowhere")}, "nowhere does not exist"},
		{[]string{"demo", ""}, "no directory"},
		{[]string{"demo", filepath.Join(dir, "file1")}, "not a directory"},
		{[]string{"demo", empty}, empty + " has no regular file"},
		{[]string{"demo", "--", "-x"}, "-x does not exist"},
		{[]string{"dmeo"}, "no such command: dmeo; did you mean demo? (see quiesce -h)"},
		{[]string{"help", "nonsense"}, "no such command: nonsense"},
		{[]string{"model", "-ps", "8"}, "quiesce predict"},
		{[]string{"lab"}, "quiesce compare"},
		{[]string{"lockdep", "seed"}, "quiesce locktest"},
		{[]string{"selftest"}, "quiesce locktest"},
		{[]string{"scale", "-cachegrind", "-short"}, "quiesce scale misses"},
		{[]string{"completion"}, "want a shell: bash"},
		{[]string{"completion", "csh"}, "no such shell: csh"},
	} {
		badUse(t, c.want, c.args...)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"--help"}, {"help"}} {
		if out, errs, status := quiesce(t, args...); status != 0 || errs != "" || !strings.Contains(out, "demo ") {
			t.Errorf("%q: status %d, %q %q", args, status, out, errs)
		}
	}
	if out, errs, status := quiesce(t); status != 2 || out != "" || !strings.Contains(errs, "Usage:") {
		t.Errorf("no arguments: status %d, %q %q", status, out, errs)
	}
	for _, args := range [][]string{{"demo", "-h"}, {"demo", "--help"}, {"help", "demo"}} {
		out, errs, status := quiesce(t, args...)
		if status != 0 || errs != "" {
			t.Errorf("%q: status %d, stderr %q", args, status, errs)
		}
		eachFlag(t, []string{"demo"}, func(f *pflag.Flag) {
			if !strings.Contains(out, "\n  -"+f.Name) {
				t.Errorf("%q does not describe -%s", args, f.Name)
			}
		})
		contains(t, out, "Usage:", "Example:", "Exit status:", "130", "default 10s")
		fits(t, out)
	}
}

// eachFlag calls fn for each flag that a command has, -help apart.
func eachFlag(t *testing.T, command []string, fn func(*pflag.Flag)) {
	t.Helper()
	c, _, err := newRoot(streams{}).Find(command)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name != "help" {
			n++
			fn(f)
		}
	})
	if n == 0 {
		t.Errorf("%q has no flags", command)
	}
}

// Both signals end a run cleanly, with the table so far.
func TestInterruptedItPrintsTheTableSoFar(t *testing.T) {
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		out := interrupt(t, sig, 200*time.Millisecond, "running", command("demo", "-duration", "5m", files(t)))
		contains(t, out, "PARTIAL", "lookups", "integrity errors", "clean so far")
	}
}

// interrupt starts the command, and sends it sig a while after want has appeared
// on stderr. It returns what the command wrote to stdout. The command must end
// soon, with status 130, and say that it was interrupted.
func interrupt(t *testing.T, sig os.Signal, after time.Duration, want string, cmd *exec.Cmd) string {
	t.Helper()
	var out bytes.Buffer
	errs := &watched{want: want, seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &out, errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	select {
	case <-errs.seen:
	case <-time.After(30 * time.Second):
		t.Fatalf("no %q on stderr after 30 s", want)
	}
	time.Sleep(after)
	cmd.Process.Signal(sig)
	start := time.Now()
	err := cmd.Wait()
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("%v: it took %v to end", sig, took)
	}
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("%v: %v, want status 130", sig, err)
	}
	contains(t, errs.text.String(), "interrupted")
	return out.String()
}

// contains checks that a text has all of the parts.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, want := range parts {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

// oneObject decodes what -json printed: one object, without unknown fields, and
// with the named ones.
func oneObject(t *testing.T, out string, rep any, names ...string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(out))
	d.DisallowUnknownFields()
	if err := d.Decode(rep); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if d.More() {
		t.Error("more than one object")
	}
	for _, name := range names {
		contains(t, out, `"`+name+`"`)
	}
}

// badUse checks that bad arguments are one line on stderr, nothing on stdout,
// and status 2. A line of progress may come first.
func badUse(t *testing.T, want string, args ...string) {
	t.Helper()
	out, errs, status := quiesce(t, args...)
	lines := strings.Split(strings.TrimSuffix(errs, "\n"), "\n")
	if len(lines) == 2 && (strings.Contains(lines[0], "looking for files") || strings.Contains(lines[0], " loops of ")) {
		lines = lines[1:]
	}
	if status != exitUsage || out != "" || len(lines) != 1 || !strings.Contains(lines[0], want) || !strings.HasPrefix(lines[0], "quiesce") {
		t.Errorf("quiesce %q: status %d, stdout %q, stderr %q; want 2 and one line with %q", args, status, out, errs, want)
	}
}

// badArgs are bad arguments, and what is said of them.
type badArgs struct {
	args []string
	want string
}

// badUses is badUse of a subcommand.
func badUses(t *testing.T, subcommand string, cases []badArgs) {
	t.Helper()
	for _, c := range cases {
		badUse(t, c.want, append([]string{subcommand}, c.args...)...)
	}
}

// fits checks that no line is wider than a terminal.
func fits(t *testing.T, text string) {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text = strings.ReplaceAll(text, root, "/quiesce") // reports name files, wherever they lie
	for line := range strings.Lines(text) {
		if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); n > 80 {
			t.Errorf("%d columns: %s", n, line)
		}
	}
}

// watched tells when a text was written. One goroutine writes.
type watched struct {
	want string
	text bytes.Buffer
	told bool
	seen chan struct{}
}

func (w *watched) Write(b []byte) (int, error) {
	w.text.Write(b)
	if !w.told && strings.Contains(w.text.String(), w.want) {
		w.told = true
		close(w.seen)
	}
	return len(b), nil
}

func TestAReportThatCannotBeWrittenIsAnError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	cmd := command("demo", "-duration", "50ms", "-flood", "0", files(t))
	cmd.Stdout = full
	cmd.Run()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("status %d, want 1", code)
	}
}

func TestDIRIsByDefaultTheGoInstallation(t *testing.T) {
	run := func(env ...string) (string, int) {
		cmd := command("demo", "-duration", "10ms", "-flood", "0", "-json")
		cmd.Env = env
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, status := run("PATH=/nowhere"); status != 2 || !strings.Contains(out, "no DIR given") || strings.Count(out, "\n") != 1 {
		t.Errorf("without Go: status %d, %s", status, out)
	}
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "src", "x.go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if out, status := run("PATH=/nowhere", "GOROOT="+root); status != 0 || !strings.Contains(out, filepath.Join(root, "src")) {
		t.Errorf("with GOROOT: status %d, %s", status, out)
	}
}
