package metamorphic

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain is also the main function of each run.
func TestMain(m *testing.M) {
	if dir := os.Getenv("METAMORPHIC_DIR"); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

const (
	programFile = "program"
	resultsFile = "results"
)

// child runs the program in dir and writes its results there.
func child(dir string) {
	fail := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, programFile))
	fail(err)
	p, err := parseProgram(string(text))
	fail(err)
	o := parseOptions(os.Getenv("METAMORPHIC_OPTIONS"))
	w, err := newWorld(o)
	fail(err)
	results := w.run(p)
	plant(p, o, results)
	var b strings.Builder
	for _, r := range results {
		b.WriteString(strings.ReplaceAll(r, "\n", " ") + "\n")
	}
	fail(os.WriteFile(filepath.Join(dir, resultsFile), []byte(b.String()), 0o600))
}

// tooLong is the time after which a run is stopped. One takes a fraction of a
// second, or some of the world's patience.
const tooLong = 40 * time.Second

// outcome is what came of a run: results, or how it failed.
type outcome struct {
	results []string
	failure string // "", "died" or "did not end"
	output  string // of a run that failed
}

// run runs a program under options in a process of its own.
func run(t *testing.T, p program, o options) outcome {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, programFile), []byte(p.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), tooLong)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGQUIT) } // with stacks
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(o.environ(), "METAMORPHIC_DIR="+dir)
	out, err := cmd.CombinedOutput()
	switch {
	case ctx.Err() != nil:
		return outcome{failure: "did not end", output: string(out)}
	case err != nil:
		return outcome{failure: "died", output: fmt.Sprintf("%v\n%s", err, out)}
	}
	text, err := os.ReadFile(filepath.Join(dir, resultsFile))
	if err != nil {
		t.Fatal(err)
	}
	return outcome{results: strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")}
}

// wrong is in results that no run may have, the first one included.
const wrong = "WRONG: "

// failure says how an outcome differs from the first run's, or what is wrong
// with it by itself; kind says it in a word, for the reducer.
func failure(p program, first, this outcome) (kind, text string) {
	if this.failure != "" {
		return this.failure, this.failure + ":\n" + this.output
	}
	for i, r := range this.results {
		if strings.Contains(r, wrong) {
			return "wrong result", fmt.Sprintf("operation %d, %s: %s", i, at(p, i), r)
		}
	}
	if first.failure != "" {
		return "", ""
	}
	for i := range max(len(first.results), len(this.results)) {
		a, b := "nothing", "nothing"
		if i < len(first.results) {
			a = first.results[i]
		}
		if i < len(this.results) {
			b = this.results[i]
		}
		if a != b {
			return "other result", fmt.Sprintf("operation %d, %s:\n\t%s\nand with no options\n\t%s", i, at(p, i), b, a)
		}
	}
	return "", ""
}

func at(p program, i int) string {
	if i < len(p) {
		return p[i].String()
	}
	return "the end"
}

// plant is a fault of this harness for the test of the reducer: with the
// option, a delete of a key in "words" lies if the same thread closed
// "cache64" after it had put a key.
func plant(p program, o options, results []string) {
	if o["plant"] == "" {
		return
	}
	put, closed := false, false
	for i, op := range p {
		switch {
		case op.verb == "put" && op.kind == "words":
			put = true
		case op.verb == "close" && op.kind == "cache64" && put:
			closed = true
		case op.verb == "delete" && op.kind == "words" && closed:
			results[i] = "a planted fault"
		}
	}
}

// The test of the test: a fault that needs three operations and one option is
// found, and reduced to them.
func TestAPlantedFaultIsFoundAndReduced(t *testing.T) {
	if testing.Short() {
		t.Skip("hundreds of runs")
	}
	p := generate(5, 400)
	p = append(p, op{1, "put", "words", 3, 0}, op{-1, "close", "cache64", 1, 0}, op{1, "delete", "words", 3, 0})
	o := options{"plant": "1", "sheaf": "7", "procs": "1"}
	first := run(t, p, nil)
	kind, text := failure(p, first, run(t, p, o))
	if kind != "other result" || !strings.Contains(text, "a planted fault") {
		t.Fatalf("%s: %s", kind, text)
	}
	p, o = shrink(t, p, o, kind)
	var verbs []string
	for _, op := range p {
		verbs = append(verbs, op.verb+" "+op.kind)
	}
	if want := []string{"put words", "close cache64", "delete words"}; !slices.Equal(verbs, want) || o.String() != "plant=1" {
		t.Errorf("reduced to %v with options %q", verbs, o)
	}
}
