//go:build linux

package process

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/internal/testkit"
	"quiesce/lockdep"
)

// child is the parent's side.
type child struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     io.WriteCloser
	lines  chan string
	stderr *testkit.Buffer
	ended  chan struct{}
	err    error
}

// begin starts a child in a process group and a directory of its own.
func begin(t *testing.T, scenario string, env ...string) *child {
	t.Helper()
	dir := t.TempDir()
	cmd := testkit.Child{Scenario: scenario, Env: append([]string{"GOMAXPROCS=4", "TMPDIR=" + dir}, env...)}.Command(context.Background())
	cmd.Dir = dir
	c := &child{t: t, cmd: cmd, stderr: new(testkit.Buffer), lines: make(chan string, 100), ended: make(chan struct{})}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.cmd.Stderr = c.stderr
	out, err := c.cmd.StdoutPipe()
	if err == nil {
		c.in, err = c.cmd.StdinPipe()
	}
	if err == nil {
		err = c.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		s := bufio.NewScanner(out)
		for s.Scan() {
			c.lines <- s.Text()
		}
		c.err = c.cmd.Wait()
		close(c.ended)
		close(c.lines)
	}()
	t.Cleanup(func() {
		c.cmd.Process.Kill()
		<-c.ended
	})
	return c
}

func (c *child) say(command string) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, command); err != nil {
		c.t.Fatalf("%s: %v\n%s", command, err, c.stderr)
	}
}

// patience is how long a child may take. With lockdep's records an operation
// takes microseconds where it took nanoseconds.
var patience = func() time.Duration {
	if lockdep.Enabled() {
		return 2 * time.Minute
	}
	return 30 * time.Second
}()

// expect returns the next line, which must begin so, in time.
func (c *child) expect(prefix string) string {
	c.t.Helper()
	select {
	case l, ok := <-c.lines:
		if !ok || !strings.HasPrefix(l, prefix) {
			c.t.Fatalf("the child said %q, not %q; it ended: %v\n%.4000s", l, prefix, !ok, c.stderr)
		}
		return l
	case <-time.After(patience):
		c.signal(syscall.SIGQUIT) // its goroutines
		time.Sleep(time.Second)
		c.t.Fatalf("no %q within %v\n%.20000s", prefix, patience, c.stderr)
	}
	return ""
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// progress returns the numbers of writes and sections so far.
func (c *child) progress() (writes, sections int) {
	c.t.Helper()
	c.say("progress")
	fmt.Sscanf(c.expect("progress"), "progress %d %d", &writes, &sections)
	return writes, sections
}

// advances waits until readers and writers have done some work each.
func (c *child) advances(what string) {
	c.t.Helper()
	w0, s0 := c.progress()
	for begin := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		w, s := c.progress()
		if w-w0 > 1000 && s-s0 > 1000 {
			c.t.Logf("%s: %d writes and %d sections in %v", what, w-w0, s-s0, time.Since(begin).Round(time.Millisecond))
			return
		}
		if time.Since(begin) > 20*time.Second {
			c.t.Fatalf("%s: %d writes and %d sections in 20 s", what, w-w0, s-s0)
		}
	}
}

// end makes the child account for everything and returns its figures.
func (c *child) end() string {
	c.t.Helper()
	c.say("end")
	figures := c.expect("figures:")
	c.t.Log(figures)
	c.expect("accounted")
	<-c.ended
	if c.err != nil {
		c.t.Errorf("the child accounted for everything and ended with %v", c.err)
	}
	return figures
}

// stalls are the lines that report a stalled grace period.
func (c *child) stalls() (lines []string) {
	for l := range strings.Lines(c.stderr.String()) {
		if strings.Contains(l, "rcu: stall") {
			lines = append(lines, strings.TrimSpace(l))
		}
	}
	return lines
}
