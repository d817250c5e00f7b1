package race_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/race"
)

// Every scenario runs in a process of its own that was built with -race: this
// test binary again, or, where it is none, one that is made for the purpose.
const childEnv = "QUIESCE_RACE_SCENARIO"

type scenario struct {
	name   string
	run    func()
	procs  int      // GOMAXPROCS; 0: both 1 and 4
	frames []string // what a report must have; none: there must be no report
}

func all() []scenario { return slices.Concat(correct, wrong, own) }

func TestScenariosHaveDifferentNames(t *testing.T) {
	names := map[string]bool{}
	for _, s := range all() {
		if names[s.name] {
			t.Errorf("two scenarios are called %q", s.name)
		}
		names[s.name] = true
	}
}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		i := slices.IndexFunc(all(), func(s scenario) bool { return s.name == name })
		all()[i].run()
		os.Exit(0)
	}
	code := m.Run()
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

var built struct {
	sync.Once
	dir, bin string
	err      error
}

func binary(t *testing.T) string {
	if race.Enabled {
		return os.Args[0]
	}
	if testing.Short() {
		t.Skip("builds everything once more, with -race; go test -race runs this in its short form too")
	}
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "quiesce-race"); built.err != nil {
			return
		}
		built.bin = filepath.Join(built.dir, "race.test")
		out, err := exec.Command("go", "test", "-race", "-c", "-o", built.bin, ".").CombinedOutput()
		if err != nil {
			built.err = fmt.Errorf("%w\n%s", err, out)
		}
	})
	if built.err != nil {
		if _, err := exec.LookPath("gcc"); err != nil || os.Getenv("CGO_ENABLED") == "0" {
			t.Skipf("no -race builds here: %v", built.err)
		}
		t.Fatal(built.err)
	}
	return built.bin
}

// run returns what the detector wrote in a scenario.
func run(t *testing.T, scenario, gorace string, procs int) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t))
	cmd.Env = append(os.Environ(), childEnv+"="+scenario, "GORACE=atexit_sleep_ms=10 "+gorace, fmt.Sprint("GOMAXPROCS=", procs))
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("%s did not end\n%s", scenario, out)
	}
	if err != nil && !strings.Contains(string(out), "DATA RACE") {
		t.Fatalf("%s: %v\n%s", scenario, err, out)
	}
	return string(out)
}

func check(t *testing.T, list []scenario) {
	for _, s := range list {
		t.Run(s.name, func(t *testing.T) {
			for _, procs := range []int{1, 4} {
				if s.procs != 0 && s.procs != procs {
					continue
				}
				out := run(t, s.name, "halt_on_error=1 history_size=7", procs)
				if strings.Contains(out, "DATA RACE") != (s.frames != nil) {
					t.Errorf("GOMAXPROCS=%d: want a report: %v\n%s", procs, s.frames != nil, out)
					continue
				}
				for _, f := range s.frames {
					if !strings.Contains(out, f) {
						t.Errorf("GOMAXPROCS=%d: the report lacks %s:\n%s", procs, f, out)
					}
				}
			}
		})
	}
}

// flag is a signal between goroutines that the detector does not see.
type flag struct{ n int }

//go:norace
//go:noinline
func (f *flag) get() int { return f.n }

//go:norace
//go:noinline
func (f *flag) raise() { f.n++ }

// await is uninstrumented too: an instrumented loop would push out of the
// detector's memory what it needs to report the access before the signal.
//
//go:norace
func (f *flag) await(n int) {
	for f.get() < n {
		runtime.Gosched()
	}
}

// repeat calls fn for a while.
func repeat(d time.Duration, fn func(i int)) {
	end := time.Now().Add(d)
	for i := 0; time.Now().Before(end); i++ {
		fn(i)
	}
}

// together runs the functions at the same time. They begin ordered behind the
// caller and end before it goes on.
func together(fns ...func()) {
	var wg sync.WaitGroup
	for _, fn := range fns {
		wg.Go(fn)
	}
	wg.Wait()
}
