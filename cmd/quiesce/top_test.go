package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"quiesce/cmd/quiesce/internal/top"
	"quiesce/inspect"
	"quiesce/rcuhash"
)

// serveProcess serves the page of a process that has a map with 100 keys.
func serveProcess(t *testing.T, address, name string) (at string, stop func()) {
	t.Helper()
	m, err := rcuhash.New[int, int](0, rcuhash.WithName(name))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		m.Put(i, i*i)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/quiesce/", inspect.Handler())
	server := httptest.NewUnstartedServer(mux)
	server.Listener.Close()
	server.Listener = l
	server.Start()
	return l.Addr().String(), func() {
		server.CloseClientConnections()
		server.Close()
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestTopPrintsOneFrameWhereThereIsNoTerminal(t *testing.T) {
	address, stop := serveProcess(t, "127.0.0.1:0", "squares")
	defer stop()
	for _, args := range [][]string{
		{"top", "-interval", "100ms", address},
		{"top", "-once", "-interval=100ms", "http://" + address + "/debug/quiesce/"},
	} {
		out, errs, status := quiesce(t, args...)
		if status != exitOK || errs != "" {
			t.Errorf("%q: status %d: %s", args, status, errs)
		}
		contains(t, out, "quiesce top  "+address, "off-heap", "GOMEMLIMIT", "\nmap ", "\nsquares ", " 100 ", "\nslab cache ", "\nallocator ", "grace periods")
		fits(t, out)
		if strings.ContainsAny(out, "\x1b\r") || strings.Contains(out, "quit") {
			t.Errorf("%q: what only a terminal needs: %q", args, out)
		}
	}
	out, errs, status := quiesce(t, "top", "-json", "-interval=100ms", address)
	if status != exitOK || errs != "" {
		t.Errorf("status %d: %s", status, errs)
	}
	var f top.Frame
	oneObject(t, out, &f, "interval_s", "caches", "maps", "slab_caches", "allocators", "grace_periods_per_s", "rcu_freed_per_s", "resident_bytes")
	if len(f.Maps) != 1 || f.Maps[0].Name != "squares" || f.Maps[0].Keys != 100 || f.IntervalS < 0.1 {
		t.Errorf("%+v", f)
	}
}

func TestTopWithoutAProcess(t *testing.T) {
	address, stop := serveProcess(t, "127.0.0.1:0", "squares")
	stop()
	out, errs, status := quiesce(t, "top", "-once", address)
	if status != exitFailed || out != "" || strings.Count(errs, "\n") != 1 {
		t.Errorf("status %d: %q, %q", status, out, errs)
	}
	contains(t, errs, "quiesce top: "+address+": ", "refused")
}

func TestBadUseOfTop(t *testing.T) {
	badUses(t, "top", []badArgs{
		{[]string{"ftp://host/"}, "want a URL of http or https"},
		{[]string{"a:1", "b:1"}, "want one URL"},
		{[]string{"-interval", "1ms"}, "from 100ms to 1m"},
		{[]string{"-interval", "fast"}, "want a time like"},
	})
	badUse(t, "-debug", "demo", "-debug", "nowhere", files(t))
}

// quiesce demo serves the page while it runs, and says where.
func TestTopOfTheDemo(t *testing.T) {
	cmd := command("demo", "-duration", "5m", "-flood", "0", "-debug", "127.0.0.1:0", files(t))
	errs, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	page, lines := "", bufio.NewScanner(errs)
	for page == "" && lines.Scan() {
		_, page, _ = strings.Cut(lines.Text(), "page at ")
	}
	go func() {
		for lines.Scan() { // so that the demo can write
		}
	}()
	out, problem, status := quiesce(t, "top", "-once", "-interval", "100ms", page)
	if status != exitOK {
		t.Errorf("status %d: %s", status, problem)
	}
	contains(t, out, "quiesce top  127.0.0.1:", "\nallocator ", "\ndemo ")
	cmd.Process.Signal(os.Interrupt)
	cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
		t.Errorf("the demo ended with %d", code)
	}
}
