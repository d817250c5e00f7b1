package lockdep_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/preempt"
)

var scenarios = map[string]func(){}

// What needs a process of its own runs in a child.
func TestMain(m *testing.M) {
	if testkit.Scenario() == "" {
		lockdep.Enable()
	}
	testkit.Main(m, scenarios, 0)
}

// child runs a scenario and returns what it wrote and whether it survived.
func child(scenario string, env ...string) (out string, ok bool) {
	mode := "QUIESCE=preempt_rt=1" // and nothing else that the environment says
	if !preempt.RT() {
		mode = "QUIESCE=preempt_rt=0"
	}
	out, err := testkit.Child{Scenario: scenario, Env: append([]string{mode}, env...), Timeout: time.Minute}.Output()
	return out, err == nil
}

// reports collects the reports that a test causes.
type reports struct {
	mu   sync.Mutex
	list []*lockdep.Report
}

// collect starts with a clean lockdep and takes its reports until the test
// ends.
func collect(t testing.TB) *reports {
	t.Helper()
	r := new(reports)
	capture(t, func(rep *lockdep.Report) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.list = append(r.list, rep)
	})
	return r
}

// capture starts with a clean lockdep and passes its reports to got until the test
// ends.
func capture(t testing.TB, got func(*lockdep.Report)) {
	lockdep.Reset()
	restore := lockdep.SetReporter(got)
	t.Cleanup(func() {
		restore()
		lockdep.Reset()
	})
}

// nest takes the locks in their order, and then releases them, the last first.
func nest(locks ...sync.Locker) {
	for _, l := range locks {
		l.Lock()
	}
	for _, l := range slices.Backward(locks) {
		l.Unlock()
	}
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

// apart runs fn on a goroutine of its own and waits until the goroutine is gone,
// which is a moment after its last statement.
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
