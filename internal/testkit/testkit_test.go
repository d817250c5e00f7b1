package testkit

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	Main(m, map[string]func(){
		"hello": func() { fmt.Println("hello from", Scenario(), os.Getenv("TESTKIT_WORD")) },
		"dies":  func() { panic("text of the panic") },
		"stays": func() { time.Sleep(time.Minute) },
	}, 0)
}

func TestAChildRunsItsScenarioInItsEnvironment(t *testing.T) {
	out, err := Child{Scenario: "hello", Env: []string{"TESTKIT_WORD=x", "TESTKIT_WORD=word"}}.Output()
	if err != nil || out != "hello from hello word\n" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAChildThatFailsIsAnError(t *testing.T) {
	if out, err := (Child{Scenario: "dies"}).Output(); err == nil || !strings.Contains(out, "text of the panic") {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := (Child{Scenario: "what is not there"}).Output(); err == nil || !strings.Contains(out, "no scenario") {
		t.Errorf("%q, %v", out, err)
	}
	out, err := Child{Args: []string{"-test.run=NoSuchTest", "-test.nosuchflag"}}.Output()
	if err == nil {
		t.Errorf("a child with a bad flag ended well: %q", out)
	}
	if out, err := (Child{Scenario: "stays", Timeout: time.Second}).Output(); err == nil || !strings.Contains(err.Error(), "did not end within 1s") {
		t.Errorf("%q, %v", out, err)
	}
}

func TestAChildRunsUnderTheEmulatorToo(t *testing.T) {
	t.Setenv(execEnv, "emulator -L root")
	cmd := Child{Args: []string{"arg"}}.Command(context.Background())
	if got, want := strings.Join(cmd.Args, " "), "emulator -L root "+os.Args[0]+" arg"; got != want {
		t.Errorf("the command is %q, want %q", got, want)
	}
}

// A report ends a test run, but not a child, which may break rules on purpose.
func TestAChildIsNoTestRun(t *testing.T) {
	for _, c := range []struct {
		environment, env string
		testRun          bool
		want             string
	}{
		{"", "", false, ",panic_on_report=0"},
		{"limit=1M", "", false, "limit=1M,panic_on_report=0"},
		{"limit=1M", "guard=1", false, "guard=1,panic_on_report=0"},
		{"limit=1M", "guard=1,panic_on_report=1", false, "guard=1,panic_on_report=1"},
		{"panic_on_report=1", "", false, "panic_on_report=1"},
		{"limit=1M", "", true, "limit=1M"},
		{"limit=1M", "guard=1", true, "guard=1"},
	} {
		t.Setenv("QUIESCE", c.environment)
		child := Child{TestRun: c.testRun}
		if c.env != "" {
			child.Env = []string{"QUIESCE=" + c.env}
		}
		if got := lastOf(child.Command(context.Background()).Env, "QUIESCE="); got != c.want {
			t.Errorf("%q, %q, a test run %v: QUIESCE=%s, want %s", c.environment, c.env, c.testRun, got, c.want)
		}
	}
}

func TestProcsIsRestored(t *testing.T) {
	old := runtime.GOMAXPROCS(0)
	t.Run("inner", func(t *testing.T) {
		Procs(t, old+3)
		AtLeastProcs(t, 1)
		if n := runtime.GOMAXPROCS(0); n != old+3 {
			t.Errorf("GOMAXPROCS is %d, want %d", n, old+3)
		}
		KeepProcs(t)
		stop := ChurnProcs(time.Microsecond, 1, 2, 3)
		Elsewhere(func() { time.Sleep(time.Millisecond) })
		stop()
	})
	if n := runtime.GOMAXPROCS(0); n != old {
		t.Errorf("GOMAXPROCS is %d, want %d", n, old)
	}
}

// failed runs fn with a test of its own and reports whether that failed.
func failed(fn func(t testing.TB)) bool {
	t := &fake{}
	<-Async(func() {
		defer func() { _ = recover() }()
		fn(t)
	})
	return t.failed
}

// fake is a test that only notes its failure.
type fake struct {
	testing.TB
	failed bool
}

func (f *fake) Helper()               {}
func (f *fake) Errorf(string, ...any) { f.failed = true }
func (f *fake) Fatal(...any)          { f.failed = true; panic("fatal") }
func (f *fake) Fatalf(string, ...any) { f.failed = true; panic("fatal") }

func TestHelpersFailWhenTheyShould(t *testing.T) {
	for _, c := range []struct {
		name string
		fn   func(t testing.TB)
		want bool
	}{
		{"Panics, the text", func(t testing.TB) { Panics(t, func() { panic("a and b") }, "a", "b") }, false},
		{"Panics, another text", func(t testing.TB) { Panics(t, func() { panic("a") }, "a", "b") }, true},
		{"Panics, no string", func(t testing.TB) { Panics(t, func() { panic(1) }, "1") }, true},
		{"Panics, none", func(t testing.TB) { Panics(t, func() {}) }, true},
		{"Eventually, at once", func(t testing.TB) { Eventually(t, 0, "x", func() bool { return true }) }, false},
		{"Eventually, never", func(t testing.TB) { Eventually(t, time.Millisecond, "x", func() bool { return false }) }, true},
		{"Within, closed", func(t testing.TB) { Within(t, "x", Async(func() {})) }, false},
	} {
		if got := failed(c.fn); got != c.want {
			t.Errorf("%s: failed = %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAsyncNEndsAfterItsGoroutines(t *testing.T) {
	ran := make([]bool, 50)
	<-AsyncN(len(ran), func(i int) {
		runtime.Gosched()
		ran[i] = true
	})
	for i, ok := range ran {
		if !ok {
			t.Errorf("goroutine %d had not ended", i)
		}
	}
}

func TestDuringCountsUntilTheTimeIsOver(t *testing.T) {
	const d = 5 * time.Millisecond
	begin, last := time.Now(), -1
	for i := range During(d) {
		if last++; i != last {
			t.Fatalf("%d came after %d", i, last-1)
		}
	}
	if time.Since(begin) < d {
		t.Error("ended early")
	}
	for range During(time.Hour) {
		break
	}
}

func TestRepeatCallsUntilItIsStopped(t *testing.T) {
	calls := 0 // not atomic: stop waits for the goroutine
	three := make(chan struct{})
	stop := Repeat(func() {
		if calls++; calls == 3 {
			close(three)
		}
	})
	Within(t, "the third call", three)
	stop()
	if calls < 3 {
		t.Errorf("%d calls", calls)
	}
}
