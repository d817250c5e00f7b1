package server

import (
	"context"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"quiesce/cmd/quiesced/internal/item"
)

// testConfig serves c, with small limits.
func testConfig(c item.Cache) Config {
	const maxItem = 1 << 20
	return Config{
		Store:        item.NewStore(c, maxItem, nil),
		Log:          slog.New(slog.DiscardHandler),
		LogLevel:     new(slog.LevelVar),
		MaxConns:     1024,
		MaxItem:      maxItem,
		MaxBytes:     64 << 20,
		ConnMemory:   64 << 20,
		WriteTimeout: time.Minute,
	}
}

// start serves on a free port of the loopback interface, until the test ends.
func start(t testing.TB, cfg Config) (s *Server, address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s = New(cfg)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
		if err := <-served; err != ErrStopped {
			t.Errorf("Serve: %v", err)
		}
	})
	return s, l.Addr().String()
}

// patience is when a test gives up.
const patience = 30 * time.Second

func dial(t testing.TB, network, address string) net.Conn {
	t.Helper()
	c, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { c.Close() })
	return c
}

// peer returns the path of another project's program. Without it the test is skipped, or
// fails where it has to be there, as in CI.
func peer(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + name)
	}
	if err != nil {
		if os.Getenv("QUIESCE_PEERS") != "" {
			t.Fatalf("QUIESCE_PEERS is set, but there is no %s: %v", name, err)
		}
		t.Skipf("no %s here: %v", name, err)
	}
	return path
}

// memcached starts one, on a Unix socket, until the test ends.
func memcached(t testing.TB, args ...string) (address string) {
	t.Helper()
	path := peer(t, "memcached")
	address = filepath.Join(t.TempDir(), "memcached")
	args = append([]string{"-s", address}, args...)
	if os.Getuid() == 0 {
		args = append(args, "-u", "root")
	}
	run(t, path, args...)
	connectable(t, "unix", address)
	return address
}

// run starts a program, until the test ends.
func run(t testing.TB, path string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(path, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

// connectable waits until something listens.
func connectable(t testing.TB, network, address string) {
	t.Helper()
	var err error
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		var c net.Conn
		if c, err = net.Dial(network, address); err == nil {
			c.Close()
			return
		}
	}
	t.Fatalf("nothing listens at %s: %v", address, err)
}

func tempFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
