package server

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bradfitz/gomemcache/memcache"
)

// Brad Fitzpatrick's client, which most Go programs use.
func TestGomemcache(t *testing.T) {
	_, address := start(t, testConfig(newTestCache(t)))
	c := memcache.New(address)
	defer c.Close()
	useClient(t, c)
	if err := c.FlushAll(); err != nil {
		t.Error(err)
	}
	if _, err := c.Get("a"); err != memcache.ErrCacheMiss {
		t.Errorf("after FlushAll: %v", err)
	}
}

// useClient does what programs do with a client.
func useClient(t *testing.T, c *memcache.Client) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	fails := func(err, want error) {
		t.Helper()
		if err != want {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	must(c.Set(&memcache.Item{Key: "a", Value: []byte("value"), Flags: 7, Expiration: 100}))
	it, err := c.Get("a")
	must(err)
	if string(it.Value) != "value" || it.Flags != 7 {
		t.Errorf("got %+v", it)
	}
	fails(c.Add(&memcache.Item{Key: "a", Value: []byte("x")}), memcache.ErrNotStored)
	fails(c.Replace(&memcache.Item{Key: "none", Value: []byte("x")}), memcache.ErrNotStored)
	must(c.Append(&memcache.Item{Key: "a", Value: []byte("!")}))
	must(c.Prepend(&memcache.Item{Key: "a", Value: []byte("the ")}))
	it, err = c.Get("a")
	must(err)
	it.Value = append(it.Value, '?')
	must(c.CompareAndSwap(it))
	fails(c.CompareAndSwap(it), memcache.ErrCASConflict)
	must(c.Set(&memcache.Item{Key: "n", Value: []byte("41")}))
	if n, err := c.Increment("n", 1); n != 42 || err != nil {
		t.Errorf("Increment: %d, %v", n, err)
	}
	if n, err := c.Decrement("n", 50); n != 0 || err != nil {
		t.Errorf("Decrement: %d, %v", n, err)
	}
	must(c.Touch("n", 200))
	fails(c.Touch("none", 200), memcache.ErrCacheMiss)
	var keys []string
	for i := range 500 {
		k := fmt.Sprintf("key%d", i)
		keys = append(keys, k)
		must(c.Set(&memcache.Item{Key: k, Value: []byte(strings.Repeat(k, i))}))
	}
	got, err := c.GetMulti(append(keys, "none", "a"))
	must(err)
	if len(got) != 501 || string(got["a"].Value) != "the value!?" {
		t.Errorf("GetMulti: %d items, a is %v", len(got), got["a"])
	}
	for i, k := range keys {
		if it := got[k]; it == nil || string(it.Value) != strings.Repeat(k, i) {
			t.Fatalf("%s: %v", k, it)
		}
	}
	must(c.Delete("n"))
	fails(c.Delete("n"), memcache.ErrCacheMiss)
	large := memcache.Item{Key: "large", Value: make([]byte, 1000_000)}
	must(c.Set(&large))
	it, err = c.Get("large")
	must(err)
	if len(it.Value) != len(large.Value) {
		t.Errorf("%d bytes", len(it.Value))
	}
	large.Value = make([]byte, 3_000_000)
	if err := c.Set(&large); err == nil {
		t.Error("no error for 3 MB")
	}
	if _, err := c.Get("a"); err != nil {
		t.Errorf("after a set that failed: %v", err)
	}
}

// libmemcached's tools. memccapable is its test of a server.
func TestLibmemcached(t *testing.T) {
	capable := peer(t, "memccapable")
	_, address := start(t, testConfig(newTestCache(t)))
	host, port, _ := net.SplitHostPort(address)
	tool := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			t.Errorf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	if out := tool(capable, "-a", "-h", host, "-p", port); !strings.Contains(out, "All tests passed") || strings.Count(out, "[pass]") < 20 {
		t.Errorf("memccapable:\n%s", out)
	}
	servers := "--servers=" + address
	name := tempFile(t, "the text of a file\n")
	key := filepath.Base(name)
	tool(peer(t, "memcping"), servers)
	tool(peer(t, "memccp"), servers, name)
	if out := tool(peer(t, "memccat"), servers, key); !strings.Contains(out, "the text of a file") {
		t.Errorf("memccat: %q", out)
	}
	tool(peer(t, "memcexist"), servers, key)
	tool(peer(t, "memctouch"), servers, "--expire=100", key)
	if out := tool(peer(t, "memcstat"), servers); !strings.Contains(out, "curr_items: 1") {
		t.Errorf("memcstat: %s", out)
	}
	tool(peer(t, "memcrm"), servers, key)
	if err := exec.Command(peer(t, "memcexist"), servers, key).Run(); err == nil {
		t.Error("memcexist finds what memcrm removed")
	}
	tool(peer(t, "memcslap"), servers, "--test=set", "--concurrency=4", "--execute-number=200")
	tool(peer(t, "memcflush"), servers)
}

// Three servers after a twemproxy, Debian's nutcracker, are used like one; when one
// of them has lost its keys, that share is missing, and no more.
func TestTwemproxy(t *testing.T) {
	path := peer(t, "nutcracker")
	const n = 3
	var servers [n]*Server
	var list string
	for i := range servers {
		s, address := start(t, testConfig(newTestCache(t)))
		servers[i] = s
		list += fmt.Sprintf("   - %s:1 server%d\n", address, i)
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listen.Addr().String()
	listen.Close()
	dir := t.TempDir()
	config := filepath.Join(dir, "nutcracker.yml")
	text := fmt.Sprintf("pool:\n  listen: %s\n  hash: fnv1a_64\n  distribution: ketama\n  timeout: 10000\n  auto_eject_hosts: false\n  servers:\n%s", address, list)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, path, "-c", config, "-o", filepath.Join(dir, "log"), "-p", filepath.Join(dir, "pid"),
		"-a", "127.0.0.1", "-s", port(t))
	connectable(t, "tcp", address)
	c := memcache.New(address)
	defer c.Close()
	c.Timeout = patience
	var keys []string
	for i := range 600 {
		k := fmt.Sprintf("key-%d", i)
		keys = append(keys, k)
		if err := c.Set(&memcache.Item{Key: k, Value: []byte(k)}); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.GetMulti(keys)
	if err != nil || len(got) != len(keys) {
		t.Fatalf("%d of %d keys, %v", len(got), len(keys), err)
	}
	total := 0
	for i, s := range servers {
		if s.store.Len() < len(keys)/10 {
			t.Errorf("server %d has %d of %d keys", i, s.store.Len(), len(keys))
		}
		total += s.store.Len()
	}
	if total != len(keys) {
		t.Errorf("the servers have %d keys, want %d", total, len(keys))
	}
	if n, err := c.Increment("none", 1); !errors.Is(err, memcache.ErrCacheMiss) {
		t.Errorf("Increment: %d, %v", n, err)
	}
	lost := servers[0].store.Len()
	servers[0].store.Flush()
	got, err = c.GetMulti(keys)
	if err != nil || len(got) != len(keys)-lost {
		t.Errorf("without a server's %d keys there are %d of %d, %v", lost, len(got), len(keys), err)
	}
}

// port returns a free one.
func port(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, p, _ := net.SplitHostPort(l.Addr().String())
	return p
}
