//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

// connBytes is what a connection may add to the server's memory at most: a buffer of
// 16 KiB for what comes or for what goes, its goroutine, and as much again, because the
// Go heap may grow to twice what is live. All together may take connsBytes more: twice
// -conn-memory, and what the heap has at the start.
const (
	connBytes  = 48 << 10
	connsBytes = 80 << 20
)

// Many clients that say nothing, half a line, one byte after the other, or that never
// read their answers take a bounded amount of memory each, and keep nobody from being
// served; one more than -c is refused, and a stop closes them all.
func TestManyConnectionsThatAreSlow(t *testing.T) {
	n := 1000
	switch {
	case testkit.Long():
		n = 10_000
	case testing.Short() || race.Enabled:
		n = 200
	}
	if most := openFiles(t); n > most-100 {
		t.Logf("%d connections in place of %d: the limit of open files", most-100, n)
		n = most - 100
	}
	p := launch(t, "-l", one, "-c", strconv.Itoa(n+1), "-m", "64", "-conn-memory", "16", "-write-timeout", "10m", "-grace", "1s")
	probe := p.connect()
	value := strings.Repeat("v", 50_000)
	if got := ask(t, probe, fmt.Sprintf("set large 0 0 %d\r\n%s\r\nset k 0 0 1\r\nx\r\n", len(value), value)); got != "STORED\r\nSTORED\r\n" {
		t.Fatalf("%q", got)
	}
	before := peak(t, p)

	conns := make([]net.Conn, n)
	address := p.address()
	var wg sync.WaitGroup
	each := func(what string, fn func(i int, c net.Conn) error) {
		t.Helper()
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					if err := fn(i, conns[i]); err != nil {
						t.Errorf("connection %d: %s: %v", i, what, err)
						return
					}
				}
			})
		}
		if wg.Wait(); t.Failed() {
			t.FailNow()
		}
	}
	end := time.Now().Add(2 * patience)
	each("connect", func(i int, _ net.Conn) (err error) {
		if conns[i], err = net.Dial("tcp", address); err == nil {
			conns[i].SetDeadline(end)
		}
		return err
	})
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	const slow = "get k\r\n"
	answer := "VALUE k 0 1\r\nx\r\nEND\r\n"
	ask200 := strings.Repeat("get large\r\n", 200)
	for b := range len(slow) {
		each("send", func(i int, c net.Conn) (err error) {
			switch {
			case i%4 == 1:
				_, err = io.WriteString(c, slow[b:b+1])
			case i%4 == 2 && b == 0:
				_, err = io.WriteString(c, "set half 0 0 1000\r\nhal")
			case i%4 == 3 && b == 0:
				_, err = io.WriteString(c, ask200) // 10 MB of answers
			}
			return err
		})
	}
	each("read", func(i int, c net.Conn) error {
		if i%4 != 1 {
			return nil
		}
		got := make([]byte, len(answer))
		if _, err := io.ReadFull(c, got); err != nil || string(got) != answer {
			return fmt.Errorf("%q: %w", got, err)
		}
		return nil
	})
	if got := ask(t, probe, "get k\r\n"); got != answer {
		t.Errorf("with %d connections: %q", n, got)
	}
	testkit.Eventually(t, patience, "all connections are served", func() bool {
		return strings.Contains(ask(t, probe, "stats\r\n"), fmt.Sprintf("STAT curr_connections %d\r\n", n+1))
	})
	// The server has a millisecond to say so, which is too little on a busy machine.
	testkit.Eventually(t, patience, "one connection too many is refused", func() bool {
		more, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer more.Close()
		more.SetDeadline(end)
		text, err := io.ReadAll(more)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("one connection too many is served")
		}
		return string(text) == "ERROR Too many open connections\r\n"
	})
	got := peak(t, p) - before
	t.Logf("%d connections: %d KiB each at most", n, got/n>>10)
	if limit := connBytes*n + connsBytes; got > limit && !race.Enabled {
		t.Errorf("%d connections take %d bytes, want at most %d", n, got, limit)
	}

	status := make(chan int, 1)
	go func() { status <- p.stop(syscall.SIGTERM) }()
	each("wait for the end", func(i int, c net.Conn) error {
		_, err := io.Copy(io.Discard, c)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil // closed, or reset
	})
	if s := <-status; s != exitOK {
		t.Errorf("exit status %d\n%s", s, p.log.String())
	}
}

// openFiles returns how many files this process and its children may have open. It
// raises that to what is allowed.
func openFiles(t *testing.T) int {
	t.Helper()
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	l.Cur = l.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return int(min(l.Cur, 1<<20))
}

// peak returns the most memory that a process had.
func peak(t *testing.T, p *process) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	if err != nil || m == nil {
		t.Fatalf("no VmHWM: %v\n%s", err, text)
	}
	kb, _ := strconv.Atoi(string(m[1]))
	return kb << 10
}
