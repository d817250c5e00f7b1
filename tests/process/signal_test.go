//go:build linux

package process

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

// A killed process leaves nothing that outlives it, and the next one starts as if
// there had been none.
func TestKilledInTheMiddleNothingIsLeft(t *testing.T) {
	t.Parallel()
	shm := list("/dev/shm")
	for range 3 {
		c := begin(t, "world")
		c.expect("ready")
		c.advances("before the kill")
		time.Sleep(rand.N(100 * time.Millisecond))
		nothingShared(t, c.cmd.Process.Pid)

		begin := time.Now()
		c.signal(syscall.SIGKILL)
		select {
		case <-c.ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the parent did not see the child's death within 10 s")
		}
		status := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !status.Signaled() || status.Signal() != syscall.SIGKILL {
			t.Errorf("the child ended with %v", c.err)
		}
		t.Logf("seen dead %v after the kill", time.Since(begin).Round(time.Microsecond))
		if err := syscall.Kill(-c.cmd.Process.Pid, 0); err != syscall.ESRCH {
			t.Errorf("a process of the child's group is left: %v", err)
		}
		if files := list(c.cmd.Dir); len(files) > 0 {
			t.Errorf("files left: %v", files)
		}
	}
	if now := list("/dev/shm"); fmt.Sprint(now) != fmt.Sprint(shm) {
		t.Errorf("shared memory was %v and is %v", shm, now)
	}
	next := begin(t, "world")
	next.expect("ready")
	next.advances("the next process")
	next.end()
}

func list(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// nothingShared checks everything of a process that could outlive it.
func nothingShared(t *testing.T, pid int) {
	t.Helper()
	proc := fmt.Sprintf("/proc/%d/", pid)
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		t.Fatal(err)
	}
	exe, _ := os.Readlink(proc + "exe")
	for l := range strings.Lines(string(maps)) {
		f := strings.Fields(l)
		if f[1][3] == 's' {
			t.Errorf("a shared mapping: %s", l)
		}
		if len(f) > 5 && f[5] != exe && f[5][0] != '[' && !strings.Contains(f[5], ".so") { // libraries of the race detector
			t.Errorf("a mapped file: %s", l)
		}
	}
	fds, _ := filepath.Glob(proc + "fd/*")
	for _, fd := range fds {
		if to, _ := os.Readlink(fd); to != "" && !regexp.MustCompile(`^(pipe:|anon_inode:|/dev/null$|/sys/fs/cgroup/)`).MatchString(to) {
			t.Errorf("an open file: %s", to)
		}
	}
	children, _ := filepath.Glob(proc + "task/*/children")
	for _, name := range children {
		if text, _ := os.ReadFile(name); len(text) > 0 {
			t.Errorf("a child process: %s", text)
		}
	}
}

// stop is how long the long stop lasts.
func stop() time.Duration {
	if testkit.Long() {
		return 30 * time.Second
	}
	return 3 * time.Second
}

// Stopped for seconds, in the long form half a minute, with a reader in its section and a grace period
// that waits for it: nothing ends early, nothing hangs, and the stall is
// reported for each grace period that waited, at doubled times, naming the kind
// of reader.
func TestStoppedWithAReaderInsideNoGracePeriodEndsEarly(t *testing.T) {
	t.Parallel()
	c := begin(t, "world", "STALL=1s")
	c.expect("ready")
	c.advances("before the stop")
	c.say("hold")
	c.expect("held")
	time.Sleep(100 * time.Millisecond) // a grace period waits by now
	c.signal(syscall.SIGSTOP)
	time.Sleep(stop())
	c.signal(syscall.SIGCONT)
	for begin := time.Now(); !strings.Contains(strings.Join(c.stalls(), ""), "flavour=preemptible"); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("no report of the reader within 20 s: %q", c.stalls())
		}
	}
	time.Sleep(1500 * time.Millisecond) // more than the stall timeout, for a second report
	c.say("release")
	line := c.expect("released")
	var found, changed int
	if fmt.Sscanf(line, "released with %d objects, %d changed", &found, &changed); found == 0 || changed != 0 {
		t.Errorf("a section that lay across the stop: %s", line)
	}
	// The stop may have met the grace period before the one that waits for
	// this reader; then that one is reported as well.
	last := map[string]time.Duration{}
	for _, l := range c.stalls() {
		_, what, _ := strings.Cut(l, "flavour=")
		flavour, rest, _ := strings.Cut(what, " ")
		_, seq, _ := strings.Cut(rest, "seq=")
		seq, _, _ = strings.Cut(seq, " ")
		_, since, _ := strings.Cut(rest, "since=")
		since, _, _ = strings.Cut(since, " ")
		waited, err := time.ParseDuration(since)
		if err != nil || flavour == "preemptible" && waited < 2*last[seq] {
			t.Errorf("a report after %v, the last one after %v: %q", waited, last[seq], c.stalls())
		}
		last[seq] = waited
	}
	if len(last) > 2 {
		t.Errorf("more grace periods were reported than can have waited: %q", c.stalls())
	}
	t.Log(c.stalls())
	c.advances("after the stop")
	c.end()
}

// Stopped at any moment, readers of all flavours in the middle of theirs.
func TestStoppedAtAnyMomentSectionsAcrossTheStopKeepTheirObjects(t *testing.T) {
	t.Parallel()
	c := begin(t, "world", "STALL=1s")
	c.expect("ready")
	c.advances("before the stops")
	for range 2 {
		time.Sleep(rand.N(20 * time.Millisecond))
		before := len(c.stalls())
		c.signal(syscall.SIGSTOP)
		time.Sleep(1200 * time.Millisecond)
		c.signal(syscall.SIGCONT)
		c.advances("after a stop")
		// A grace period that was waiting may be reported: once for the
		// preemptible readers, or once for each P.
		if n := len(c.stalls()) - before; n > 4 {
			t.Errorf("%d reports of one stop: %q", n, c.stalls())
		}
	}
	t.Log(c.stalls())
	figures := c.end()
	var preemptible, pinned int
	_, rest, _ := strings.Cut(figures, "across a stop: ")
	fmt.Sscanf(rest, "%d preemptible, %d pinned", &preemptible, &pinned)
	if preemptible == 0 {
		t.Error("no section lay across a stop, so nothing was tested")
	}
}

// Many short stops.
func TestAStormOfStopsHarmsNobody(t *testing.T) {
	t.Parallel()
	c := begin(t, "world")
	c.expect("ready")
	stops := 150
	if testkit.Long() {
		stops = 400
	}
	for range stops {
		time.Sleep(rand.N(8 * time.Millisecond))
		c.signal(syscall.SIGSTOP)
		time.Sleep(rand.N(8 * time.Millisecond))
		c.signal(syscall.SIGCONT)
	}
	c.advances("after the storm")
	if stalls := c.stalls(); len(stalls) > 0 { // the default timeout is 10 s
		t.Errorf("reports: %q", stalls)
	}
	c.end()
}
