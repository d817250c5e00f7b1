package lockdep_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// What needs a process of its own runs in a child: this test binary again,
// told by the environment which scenario to run.
const childEnv = "QUIESCE_TEST_CHILD"

var scenarios = map[string]func(){}

func TestMain(m *testing.M) {
	if name := os.Getenv(childEnv); name != "" {
		scenarios[name]()
		os.Exit(0)
	}
	lockdep.Enable()
	os.Exit(m.Run())
}

// child runs a scenario and returns what it wrote and whether it survived.
func child(t *testing.T, scenario string, env ...string) (out string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	mode := "QUIESCE=preempt_rt=1" // and nothing else that the environment says
	if !preempt.RT() {
		mode = "QUIESCE=preempt_rt=0"
	}
	cmd.Env = append(append(os.Environ(), mode, childEnv+"="+scenario), env...)
	b, err := cmd.CombinedOutput()
	return string(b), err == nil
}

// reports collects what a test brings about.
type reports struct {
	mu   sync.Mutex
	list []*lockdep.Report
}

// collect starts with a clean lockdep and takes its reports until the test
// ends.
func collect(t testing.TB) *reports {
	t.Helper()
	lockdep.Reset()
	r := new(reports)
	restore := lockdep.SetReporter(func(rep *lockdep.Report) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, rep)
	})
	t.Cleanup(func() {
		restore()
		lockdep.Reset()
	})
	return r
}

// kinds are those of the reports up to now, in their order.
func (r *reports) kinds() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var kinds []string
	for _, rep := range r.list {
		kinds = append(kinds, rep.Kind)
	}
	return strings.Join(kinds, "; ")
}

// want fails the test unless the reports are of these kinds, and forgets them.
func (r *reports) want(t *testing.T, what string, kinds ...string) []*lockdep.Report {
	t.Helper()
	if got, want := r.kinds(), strings.Join(kinds, "; "); got != want {
		t.Errorf("%s: reported %q, want %q", what, got, want)
		for _, rep := range r.list {
			t.Log(rep.Text)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.list
	r.list = nil
	return list
}

// apart runs fn on a goroutine of its own and waits until that is gone, which
// is a moment after its last statement.
func apart(fn func()) {
	id := make(chan uint64, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		id <- sys.Goid()
		fn()
	}()
	<-done
	name := fmt.Sprintf("goroutine %d [", <-id)
	for buf := make([]byte, 1<<20); strings.Contains(string(buf[:runtime.Stack(buf, true)]), name); {
		time.Sleep(100 * time.Microsecond)
	}
}
