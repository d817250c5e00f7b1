package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// shop is a server, its clock, and a browser.
type shop struct {
	t   *testing.T
	s   *Store
	url string
	ns  atomic.Int64
	http.Client
}

func newShop(t *testing.T, budget int64) *shop {
	sh := &shop{t: t}
	sh.ns.Store(time.Unix(1000, 0).UnixNano())
	var err error
	if sh.s, err = NewStore(budget, time.Hour, func() time.Time { return time.Unix(0, sh.ns.Load()) }); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(newServer(sh.s))
	t.Cleanup(func() {
		server.Close()
		if err := sh.s.c.Close(); err != nil {
			t.Error(err)
		}
	})
	sh.url = server.URL
	sh.Jar, _ = cookiejar.New(nil)
	return sh
}

func (sh *shop) ask(method, path string, want int) []byte {
	sh.t.Helper()
	req, err := http.NewRequest(method, sh.url+path, nil)
	if err != nil {
		sh.t.Fatal(err)
	}
	r, err := sh.Do(req)
	if err != nil {
		sh.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != want {
		sh.t.Fatalf("%s %s: %s, %s, %v; want %d", method, path, r.Status, body, err, want)
	}
	return body
}

type me struct {
	User, Views int
	Token       string
	Cart        []Item
}

func (sh *shop) me() (m me) {
	sh.t.Helper()
	if err := json.Unmarshal(sh.ask("GET", "/me", http.StatusOK), &m); err != nil {
		sh.t.Fatal(err)
	}
	return m
}

func TestASession(t *testing.T) {
	sh := newShop(t, 4<<20)
	sh.ask("GET", "/me", http.StatusUnauthorized)
	sh.ask("POST", "/login?user=x", http.StatusBadRequest)
	sh.ask("POST", "/login?user=7", http.StatusNoContent)
	m := sh.me()
	sh.ask("POST", "/cart?article=5&token=wrong", http.StatusForbidden)
	for range 2 {
		sh.ask("POST", "/cart?article=5&token="+m.Token, http.StatusNoContent)
	}
	if m = sh.me(); m.User != 7 || m.Views != 2 || len(m.Cart) != 1 || m.Cart[0] != (Item{5, 2}) {
		t.Errorf("%+v", m)
	}
	for range 3 { // each within an hour of the last one
		sh.ns.Add(int64(59 * time.Minute))
		sh.me()
	}
	sh.ns.Add(int64(time.Hour))
	sh.ask("GET", "/me", http.StatusUnauthorized)

	sh.ask("POST", "/login?user=8", http.StatusNoContent)
	sh.me()
	sh.ask("POST", "/logout", http.StatusNoContent)
	sh.ask("GET", "/me", http.StatusUnauthorized)
	u, _ := url.Parse(sh.url)
	sh.Jar.SetCookies(u, []*http.Cookie{{Name: cookieName, Value: "forged"}})
	sh.ask("GET", "/me", http.StatusUnauthorized)
}

func TestTheBudgetHolds(t *testing.T) {
	sh := newShop(t, 4<<20)
	if err := sh.s.Fill(60_000); err != nil {
		t.Fatal(err)
	}
	n := sh.s.c.Stats()
	if n.Bytes > 4<<20 || n.Entries < 12_000 || n.Entries+int(n.Evictions) != 60_000 {
		t.Errorf("%+v", n)
	}
}

func TestARead(t *testing.T) {
	sh := newShop(t, 4<<20)
	id, err := sh.s.Begin(1)
	if err != nil {
		t.Fatal(err)
	}
	sh.s.Get(id)
	sh.ns.Add(int64(20 * time.Minute))
	sh.s.Get(id)
	if n := sh.s.c.Stats(); n.Sets != 1 || n.Hits != 2 {
		t.Errorf("in the first half of its time: %+v", n)
	}
	sh.ns.Add(int64(20 * time.Minute))
	sh.s.Get(id)
	sh.ns.Add(int64(50 * time.Minute))
	if _, ok := sh.s.Get(id); !ok {
		t.Error("a session that was used 50 minutes before has ended")
	}
}

// lockedBuffer is for two goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
	ch chan struct{} // closed when it has a line that begins with listening
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if strings.HasPrefix(string(p), "listening") {
		defer close(l.ch)
	}
	return l.b.Write(p)
}

func TestTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out := &lockedBuffer{ch: make(chan struct{})}
	done := make(chan error, 1)
	go func() { done <- serve(ctx, "127.0.0.1:0", 16<<20, time.Minute, 1000, out) }()
	select {
	case <-out.ch:
	case err := <-done:
		t.Fatal(err)
	}
	out.mu.Lock()
	text := out.b.String()
	out.mu.Unlock()
	if !regexp.MustCompile(`(?m)^1000 sessions in .* \(0 evicted\): \d+ MiB of 16; Go heap \d+ MiB, a collection `).MatchString(text) {
		t.Errorf("printed %q", text)
	}
	r, err := http.Get(regexp.MustCompile(`http://\S+`).FindString(text) + "/debug/vars")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var vars struct {
		Caches struct{ Sessions struct{ Entries, Bytes int } }
	}
	if err := json.NewDecoder(r.Body).Decode(&vars); err != nil || vars.Caches.Sessions.Entries != 1000 || vars.Caches.Sessions.Bytes == 0 {
		t.Errorf("%+v, %v", vars, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var b, e bytes.Buffer
	if status := run([]string{"-h"}, &b, &e); status != 0 || !strings.Contains(b.String(), "-budget") {
		t.Errorf("-h: status %d, %s", status, b.String())
	}
	if status := run([]string{"-budget", "x"}, &b, &e); status != 2 {
		t.Errorf("a bad flag: status %d", status)
	}
	if status := run([]string{"-budget", "0", "-addr", "127.0.0.1:0"}, &b, &e); status != 1 {
		t.Errorf("no budget: status %d", status)
	}
}
