package server

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesced/internal/item"
)

// ask sends text and returns the lines up to one that is last.
func ask(t testing.TB, c net.Conn, text, last string) string {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	var got []byte
	for b := make([]byte, 1); !bytes.HasSuffix(got, []byte(last+"\r\n")); {
		if _, err := c.Read(b); err != nil {
			t.Fatalf("after %.100q: %v", got, err)
		}
		got = append(got, b[0])
	}
	return string(got)
}

// eventually waits until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// askForALot asks for 100 MB, and reads nothing.
func askForALot(t *testing.T, address string) {
	t.Helper()
	c := dial(t, "tcp", address)
	ask(t, c, "set a 0 0 1000000\r\n"+strings.Repeat("x", 1000000)+"\r\n", "STORED")
	io.WriteString(c, "get"+strings.Repeat(" a", 100)+"\r\n")
}

func TestConnectionsAreLimited(t *testing.T) {
	cfg := testConfig(newMapCache())
	cfg.MaxConns = 3
	s, address := start(t, cfg)
	var conns []net.Conn
	for range 3 {
		c := dial(t, "tcp", address)
		ask(t, c, "mn\r\n", "MN")
		conns = append(conns, c)
	}
	refused, err := io.ReadAll(dial(t, "tcp", address))
	if string(refused) != "ERROR Too many open connections\r\n" {
		t.Errorf("a fourth client was told %q, %v", refused, err)
	}
	conns[0].Close()
	eventually(t, "a place is free", func() bool { return s.connected.Load() == 2 })
	ask(t, dial(t, "tcp", address), "mn\r\n", "MN")
	if n := s.rejected.Load(); n != 1 {
		t.Errorf("%d rejected connections", n)
	}
}

// A client that asks for a lot and reads nothing is disconnected, and its memory is
// free again.
func TestAClientThatDoesNotRead(t *testing.T) {
	cfg := testConfig(newMapCache())
	cfg.WriteTimeout = 50 * time.Millisecond
	s, address := start(t, cfg)
	askForALot(t, address)
	eventually(t, "the client is disconnected", func() bool { return s.connected.Load() == 0 })
	if n := s.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes in use", n)
	}
}

// A client that takes long to send is served like any other, and so are others
// in between.
func TestASlowClient(t *testing.T) {
	s, address := start(t, testConfig(newTestCache(t)))
	slow, fast := dial(t, "tcp", address), dial(t, "tcp", address)
	value := strings.Repeat("v", 40000)
	text := "set slow 0 0 40000\r\n" + value + "\r\n"
	for i := 0; i < len(text); i += 5000 {
		io.WriteString(slow, text[i:min(i+5000, len(text))])
		if got := ask(t, fast, "get slow\r\n", "END"); i+5000 < len(text) && got != "END\r\n" {
			t.Fatalf("half a value is there: %.100q", got)
		}
	}
	ask(t, slow, "", "STORED")
	if got := ask(t, fast, "get slow\r\n", "END"); got != "VALUE slow 0 40000\r\n"+value+"\r\nEND\r\n" {
		t.Errorf("got %.100q", got)
	}
	eventually(t, "no large buffers", func() bool { return s.budget.used.Load() == 0 })
}

// What is large is refused when the budget is used up, and the connection goes on.
func TestLargeValuesShareABudget(t *testing.T) {
	cfg := testConfig(newTestCache(t))
	_, roomy := start(t, cfg)
	cfg.ConnMemory = 100_000
	s, tight := start(t, cfg)
	c := dial(t, "tcp", tight)
	big := strings.Repeat("x", 500_000)
	if got := ask(t, c, "set a 0 0 1\r\na\r\nset a 0 0 500000\r\n"+big+"\r\nget a\r\n", "END"); got != "STORED\r\n"+replyNoStore+"\r\nEND\r\n" {
		t.Errorf("a large set: %q", got)
	}
	if got := ask(t, c, "set a 0 0 500000 noreply\r\n"+big+"\r\nget a\r\n", "END"); got != "END\r\n" {
		t.Errorf("a large set without a reply: %q", got)
	}
	ask(t, dial(t, "tcp", roomy), "set a 0 0 500000\r\n"+big+"\r\n", "STORED")
	if got := ask(t, c, "get a\r\nget b\r\n", "END"); got != replyNoGet+"\r\nEND\r\n" {
		t.Errorf("a large get: %q", got)
	}
	if got := ask(t, c, "mg a v\r\nmn\r\n", "MN"); got != replyNoGet+"\r\nMN\r\n" {
		t.Errorf("a large mg: %q", got)
	}
	if got := ask(t, c, "mg a v T0\r\nmn\r\n", "MN"); got != replyNoGet+"\r\nMN\r\n" {
		t.Errorf("a large mg that changes: %q", got)
	}
	if got := ask(t, c, "gat 0 a\r\nmn\r\n", "MN"); got != replyNoGet+"\r\nMN\r\n" {
		t.Errorf("a large gat: %q", got)
	}
	if n := s.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes in use", n)
	}
}

// A line of keys that has no end is given up, and takes no more than its share.
func TestAnEndlessLineOfKeys(t *testing.T) {
	s, address := start(t, testConfig(newMapCache()))
	c := dial(t, "tcp", address)
	go func() {
		for range 100 {
			if _, err := c.Write([]byte("get " + strings.Repeat("k ", 50_000))); err != nil {
				return
			}
		}
	}()
	if n, err := io.Copy(io.Discard, c); n != 0 {
		t.Errorf("an answer of %d bytes, %v", n, err)
	}
	eventually(t, "the client is disconnected", func() bool { return s.connected.Load() == 0 })
	if n := s.budget.used.Load(); n != 0 {
		t.Errorf("%d bytes in use", n)
	}
}

// Connections that wait for a command have no buffers.
func TestWaitingConnectionsAreSmall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector has memory of its own")
	}
	const n = 2000
	cfg := testConfig(newMapCache())
	cfg.MaxConns = n
	s, address := start(t, cfg)
	before := heap()
	for range n {
		c := dial(t, "tcp", address)
		ask(t, c, "set a 0 0 1\r\nx\r\nget a\r\n", "END")
	}
	each := (heap() - before) / n
	t.Logf("%d bytes for each connection and its client", each)
	if s.connected.Load() != n || each > bufferSize*3/4 {
		t.Errorf("%d connections with %d bytes each, both ends", s.connected.Load(), each)
	}
}

// heap is what the collector leaves, and stacks.
func heap() int {
	runtime.GC()
	runtime.GC() // pools are emptied by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// A Shutdown lets connections answer what they have read.
func TestShutdown(t *testing.T) {
	s := New(testConfig(newTestCache(t)))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	waiting, half := dial(t, "tcp", l.Addr().String()), dial(t, "tcp", l.Addr().String())
	ask(t, waiting, "mn\r\n", "MN")
	ask(t, half, "mn\r\nset a 0 0 5\r\nab", "MN")
	s.Shutdown(context.Background())
	for _, c := range []net.Conn{waiting, half} {
		if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	}
	if err := <-served; err != ErrStopped {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("there still is a listener")
	}
	if err := s.Serve(l); err != ErrStopped {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

// A client that does not read can't keep a Shutdown from ending.
func TestShutdownDoesNotWaitForever(t *testing.T) {
	s, address := start(t, testConfig(newMapCache()))
	askForALot(t, address)
	eventually(t, "an answer is on its way", func() bool { return s.budget.used.Load() > 0 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	s.Shutdown(ctx)
	if n := s.connected.Load(); n != 0 {
		t.Errorf("%d connections", n)
	}
}

func TestIdleConnectionsAreClosed(t *testing.T) {
	cfg := testConfig(newMapCache())
	cfg.IdleTimeout = 20 * time.Millisecond
	_, address := start(t, cfg)
	for _, text := range []string{"", "mn\r\n", "get a", "set a 0 0 10\r\nab"} {
		c := dial(t, "tcp", address)
		io.WriteString(c, text)
		if _, err := io.ReadAll(c); err != nil {
			t.Errorf("after %q: %v", text, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	name := filepath.Join(t.TempDir(), "socket")
	for range 2 { // the second finds the first one's file
		l, err := ListenUnix(name, 0o700)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ListenUnix(name, 0o700); err == nil {
			t.Error("two listeners on one socket")
		}
		s := New(testConfig(newMapCache()))
		served := make(chan error, 1)
		go func() { served <- s.Serve(l) }()
		c := dial(t, "unix", name)
		ask(t, c, "set a 0 0 1\r\nx\r\n", "STORED")
		c.Close()
		l.(*net.UnixListener).SetUnlinkOnClose(false) // as if killed
		s.Shutdown(context.Background())
		<-served
	}
}

func TestFlushLater(t *testing.T) {
	_, address := start(t, testConfig(newTestCache(t)))
	c := dial(t, "tcp", address)
	ask(t, c, "set a 0 0 1\r\nx\r\n", "STORED")
	ask(t, c, "flush_all 1\r\n", "OK")
	eventually(t, "a is gone", func() bool { return ask(t, c, "get a\r\n", "END") == "END\r\n" })
	ask(t, c, "set a 0 0 1\r\nx\r\n", "STORED")
	ask(t, c, "flush_all 1000\r\nflush_all 2592001\r\n", "OK\r\nOK")
	if got := ask(t, c, "get a\r\n", "END"); got != "END\r\n" {
		t.Errorf("a flush in the past left %q", got)
	}
}

func TestExpiry(t *testing.T) {
	_, address := start(t, testConfig(newTestCache(t)))
	c := dial(t, "tcp", address)
	ask(t, c, fmt.Sprintf("set a 0 1 1\r\nx\r\nset b 0 %d 1\r\ny\r\nset c 0 1 1\r\nz\r\n", time.Now().Unix()+1), "STORED\r\nSTORED\r\nSTORED")
	eventually(t, "a and b are gone", func() bool { return ask(t, c, "get a b\r\n", "END") == "END\r\n" })
	eventually(t, "c is gone", func() bool { return ask(t, c, "touch c 100\r\nmn\r\n", "MN") == "NOT_FOUND\r\nMN\r\n" })
}

func TestStats(t *testing.T) {
	cfg := testConfig(newTestCache(t))
	cfg.CacheStats = func() []Stat { return []Stat{{"evictions", "7"}} }
	_, address := start(t, cfg)
	c := dial(t, "tcp", address)
	ask(t, c, "set a 0 0 1\r\nx\r\nget a a b\r\n", "END")
	got := ask(t, c, "stats\r\n", "END")
	for _, want := range []string{"cmd_get 3", "get_hits 2", "get_misses 1", "cmd_set 1", "curr_items 1",
		"curr_connections 1", "limit_maxbytes 67108864", "evictions 7", "version " + Version} {
		if !strings.Contains(got, "STAT "+want+"\r\n") {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	ask(t, c, "stats reset\r\n", "RESET")
	if got := ask(t, c, "stats\r\n", "END"); !strings.Contains(got, "STAT cmd_get 0\r\n") {
		t.Errorf("after a reset:\n%s", got)
	}
	if got := ask(t, c, "stats settings\r\n", "END"); !strings.Contains(got, "STAT maxconns 1024\r\n") {
		t.Errorf("settings:\n%s", got)
	}
	if got := ask(t, c, "stats items\r\nstats nothing\r\nmn\r\n", "MN"); got != "END\r\nERROR\r\nMN\r\n" {
		t.Errorf("others: %q", got)
	}
}

func TestMemoryLimitAndShutdownCommands(t *testing.T) {
	cfg := testConfig(newMapCache())
	cfg.ShutdownCommand, cfg.NoFlush = true, true
	cfg.SetMaxBytes = func(n int64) error {
		if n > 1<<30 {
			return errors.New("too much")
		}
		return nil
	}
	s, address := start(t, cfg)
	c := dial(t, "tcp", address)
	ask(t, c, "cache_memlimit 100\r\n", "OK")
	if n := s.maxBytes.Load(); n != 100<<20 {
		t.Errorf("limit is %d", n)
	}
	ask(t, c, "cache_memlimit 2000\r\n", "MEMLIMIT_ADJUST_FAILED out of bounds or unable to adjust")
	ask(t, c, "flush_all\r\n", "CLIENT_ERROR flush_all not allowed")
	ask(t, c, "shutdown now\r\n", "CLIENT_ERROR invalid shutdown mode")
	select {
	case <-s.AskedToStop():
		t.Fatal("asked to stop")
	default:
	}
	io.WriteString(c, "shutdown\r\n")
	<-s.AskedToStop()
}

// What no version of memcached up to 1.6.18 has: the flags E of all commands, x of md,
// s of ms, and N of an append.
func TestNewerMetaFlags(t *testing.T) {
	_, address := start(t, testConfig(newTestCache(t)))
	c := dial(t, "tcp", address)
	for _, x := range [][2]string{
		{"ms a 1 E77 c s\r\nx\r\n", "HD c77 s1\r\n"},
		{"mg a c\r\n", "HD c77\r\n"},
		{"ms a 2 MA s E78 c\r\nyz\r\n", "HD s3 c78\r\n"},
		{"md a x E79\r\n", "HD\r\n"},
		{"mg a v c\r\n", "VA 0 c79\r\n\r\n"},
		{"ms b 1 MA N100\r\nx\r\n", "HD\r\n"},
		{"mg b v\r\n", "VA 1\r\nx\r\n"},
		{"ma n N0 E5 c\r\n", "HD c5\r\n"},
		{"ma n E6 c v\r\n", "VA 1 c6\r\n1\r\n"},
		{"mg viv N0 E9 c\r\n", "HD c9 W\r\n"},
	} {
		if got := ask(t, c, x[0]+"mn\r\n", "MN"); got != x[1]+"MN\r\n" {
			t.Errorf("%q: %q, want %q", x[0], got, x[1])
		}
	}
}

// The conversation with authentication.
func authScript(t *testing.T, network, address string) {
	play(t, "testdata/auth.txt", func() net.Conn { return dial(t, network, address) })
}

const usersFile = "testdata/users"

func TestAuthentication(t *testing.T) {
	cfg := testConfig(newMapCache())
	var err error
	if cfg.Users, err = ReadUsers(usersFile); err != nil {
		t.Fatal(err)
	}
	s, address := start(t, cfg)
	authScript(t, "tcp", address)
	c := dial(t, "tcp", address)
	long := "set a 0 0 100000\r\n" + strings.Repeat("x", 3000)
	io.WriteString(c, long)
	if line, err := bufio.NewReader(c).ReadString('\n'); !strings.HasPrefix(line, "CLIENT_ERROR") {
		t.Errorf("a long token: %q, %v", line, err)
	}
	if n := s.total(); n[authErrors] == 0 || n[authCmds] <= n[authErrors] {
		t.Errorf("%d of %d authentications failed", n[authErrors], n[authCmds])
	}
}

func TestAuthenticationWithMemcached(t *testing.T) {
	file, err := filepath.Abs(usersFile)
	if err != nil {
		t.Fatal(err)
	}
	authScript(t, "unix", memcached(t, "-Y", file))
}

func TestBadUsersFiles(t *testing.T) {
	for _, text := range []string{"", "\n", "user", ":x", "user:", "user:password\nother"} {
		if _, err := ReadUsers(tempFile(t, text)); err == nil {
			t.Errorf("no error for %q", text)
		}
	}
	if _, err := ReadUsers("no such file"); err == nil {
		t.Error("no error without a file")
	}
	u, err := ReadUsers(tempFile(t, "a:b:c\r\n\nd:e\n"))
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]bool{"a b:c": true, "d e": true, "a e": false, "a b": false, "d ": false} {
		user, password, _ := strings.Cut(token, " ")
		if u.has([]byte(user), []byte(password)) != want {
			t.Errorf("%q: not %v", token, want)
		}
	}
}

var _ item.Cache = (*mapCache)(nil)
