package rcu

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"quiesce/internal/testkit"
)

func init() {
	// Short sections, one after the other, for which grace periods wait; and a
	// callback. They have something left to do after a stop, and so can still be
	// found then.
	busy := func() {
		for range 10 {
			time.Sleep(time.Millisecond)
		}
	}
	scenarios["stopped"] = func() {
		StallTimeout = 400 * time.Millisecond
		go func() {
			for {
				g := ReadLock()
				busy()
				g.Unlock()
			}
		}()
		fmt.Println("runs")
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
			Call(busy)
			Synchronize()
		}
		fmt.Println("stalls", ReadStats().Stalls)
	}
}

// A suspended machine, a paused container, a debugger: the time for which the
// process was stopped is nobody's stall.
func TestAStopOfTheProcessIsNoStall(t *testing.T) {
	t.Parallel() // a process of its own
	c := testkit.OfTest(t, "stopped").Command(t.Context())
	c.Stdout, c.Stderr = nil, nil
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs testkit.Buffer
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var b [8]byte
	if _, err := out.Read(b[:]); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		time.Sleep(100 * time.Millisecond)
		signal(t, c.Process, syscall.SIGSTOP)
		time.Sleep(1000 * time.Millisecond)
		signal(t, c.Process, syscall.SIGCONT)
	}
	text := make([]byte, 1000)
	n, _ := out.Read(text)
	if err := c.Wait(); err != nil || !strings.Contains(string(text[:n]), "stalls 0") || errs.String() != "" {
		t.Errorf("%v\n%s\n%s", err, text[:n], errs.String())
	}
}

func signal(t *testing.T, p *os.Process, s syscall.Signal) {
	t.Helper()
	if err := p.Signal(s); err != nil {
		t.Fatal(err)
	}
}
