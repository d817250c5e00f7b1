package metamorphic

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var (
	seedFlag    = flag.Uint64("seed", 0, "seed of the first program; 0: a new one")
	opsFlag     = flag.Int("ops", 1500, "operations in a program")
	runsFlag    = flag.Int("runs", 4, "runs of a program after the first")
	forFlag     = flag.Duration("for", 4*time.Second, "how long programs are begun; 0: one program")
	replayFlag  = flag.String("replay", "", "a file with a program to run in place of random ones")
	reduceFlag  = flag.Duration("reduce", 5*time.Minute, "how long a failure is reduced")
	optionsFlag = flag.String("options", "", "the options of -replay")
)

// The same operations have the same results whatever the options are.
func TestResultsDoNotDependOnOptions(t *testing.T) {
	if *replayFlag != "" {
		replay(t)
		return
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	end := time.Now().Add(*forFlag)
	if testing.Short() {
		end = time.Now().Add(*forFlag / 2)
	}
	programs, runs := 0, 0
	for ; programs == 0 || time.Now().Before(end); seed++ {
		runs += compare(t, seed)
		programs++
		if t.Failed() {
			return
		}
	}
	t.Logf("%d programs of %d operations, %d runs", programs, *opsFlag, runs)
}

// compare runs the program of a seed under several options.
func compare(t *testing.T, seed uint64) (runs int) {
	p := generate(seed, *opsFlag)
	first := run(t, p, nil)
	if kind, text := failure(p, first, first); kind != "" {
		report(t, seed, p, options{}, kind, text)
		return 1
	}
	r := rand.New(rand.NewPCG(seed, 1))
	for n := range *runsFlag {
		o := draw(r)
		if kind, text := failure(p, first, run(t, p, o)); kind != "" {
			report(t, seed, p, o, kind, text)
			return n + 2
		}
	}
	return *runsFlag + 1
}

// tries is how often a smaller program is run before it counts as one that
// does not fail. The threads run at the same time, so a fault may hide.
const tries = 3

// shrink reduces a failure of a kind, as far as the time allows.
func shrink(t *testing.T, p program, o options, kind string) (program, options) {
	end := time.Now().Add(*reduceFlag)
	fails := func(p program, o options) bool {
		if time.Now().After(end) {
			return false
		}
		first := run(t, p, nil)
		for range tries {
			if k, _ := failure(p, first, run(t, p, o)); k == kind {
				return true
			}
		}
		return false
	}
	p = reduce(p, func(p program) bool { return fails(p, o) })
	o = reduceOptions(o, func(o options) bool { return fails(p, o) })
	return p, o
}

// report prints what failed at once, because reducing takes time, and then
// what it was reduced to.
func report(t *testing.T, seed uint64, p program, o options, kind, text string) {
	const most = 8000
	t.Fail()
	fmt.Fprintf(os.Stderr, "seed %d, options %q: %s\nagain: go test ./tests/metamorphic -seed %d -ops %d -runs %d -for 0\n",
		seed, o, text[:min(len(text), most)], seed, *opsFlag, *runsFlag)
	save := func(how string) string {
		name := filepath.Join(os.TempDir(), fmt.Sprintf("metamorphic-%d-%s", seed, how))
		if err := os.WriteFile(name, []byte(p.String()), 0o600); err != nil {
			t.Error(err)
		}
		return name
	}
	fmt.Fprintf(os.Stderr, "or: go test ./tests/metamorphic -replay %s -options %q\nreducing ...\n", save("whole"), o)
	p, o = shrink(t, p, o, kind)
	t.Logf("reduced to %d operations with options %q:\n%s", len(p), o, p)
	t.Logf("again: go test ./tests/metamorphic -replay %s -options %q", save("reduced"), o)
}

func replay(t *testing.T) {
	text, err := os.ReadFile(*replayFlag)
	if err != nil {
		t.Fatal(err)
	}
	p, err := parseProgram(string(text))
	if err != nil {
		t.Fatal(err)
	}
	first := run(t, p, nil)
	this := run(t, p, parseOptions(*optionsFlag))
	for i, r := range this.results {
		t.Logf("%-30s %s", at(p, i), r)
	}
	if kind, text := failure(p, first, this); kind != "" {
		t.Error(text)
	}
}

// The whole of a program is not needed: every part of it runs.
func TestProgramsAreReadAsTheyAreWritten(t *testing.T) {
	p := generate(1, 500)
	back, err := parseProgram("# a comment\n\n" + p.String())
	if err != nil || !slices.Equal(p, back) {
		t.Errorf("%v; read:\n%s", err, back)
	}
	if again := generate(1, 500); !slices.Equal(p, again) {
		t.Error("a seed makes two programs")
	}
	for _, bad := range []string{"1 new", "9 new cache64 1 2", "x new cache64 1 2"} {
		if _, err := parseProgram(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
