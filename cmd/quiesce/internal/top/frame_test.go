package top

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"quiesce/inspect"
	"quiesce/rcuhash"
)

func TestAFrameHasRates(t *testing.T) {
	f := frame()
	c := f.Caches[1]
	if f.IntervalS != 2 || c.Name != "sessions" || c.HitsPerS != 1500 || c.MissesPerS != 500 || c.RecentHitRatio != 0.75 || c.EvictionsPerS != 5 {
		t.Errorf("%v s: %+v", f.IntervalS, c)
	}
	if c := f.Caches[0]; c.HitsPerS != 0 || c.RecentHitRatio != 0.25 {
		t.Errorf("a cache that nobody used: %+v", c)
	}
	if f.RCU.GracePeriodsPerS != 50 || f.GCsPerS != 0.5 || len(f.Maps) != 1 || len(f.Allocators) != 1 || len(f.SlabCaches) != 2 {
		t.Errorf("%+v", f)
	}
}

func TestAFrameWithoutAnEarlierOneHasNoRates(t *testing.T) {
	fresh, again := state(2), state(2)
	fresh.Caches[0].Hits, fresh.Process.GCCycles = 5000, 1 // less than before: another process
	again.Caches[0].Hits, again.Caches[1].Hits = 10, 9001  // a cache that was closed and made again
	again.Caches = append(again.Caches, inspect.Cache{Name: "new", Hits: 1000})
	for name, c := range map[string]struct {
		earlier, now *inspect.State
		interval     float64
		hits         []float64
	}{
		"the first":            {nil, state(2), 0, []float64{0, 0, 0}},
		"the clock went back":  {state(3), state(2), 0, []float64{0, 0, 0}},
		"a new process":        {state(0), fresh, 0, []float64{0, 0, 0}},
		"some caches are new":  {state(0), again, 2, []float64{0, 0.5, 0, 0}},
		"one that was is gone": {again, state(3), 1, []float64{990, 0, 0}},
	} {
		f := newFrame("", c.earlier, c.now)
		if f.IntervalS != c.interval || len(f.Caches) != len(c.hits) {
			t.Errorf("%s: %v s, %d caches", name, f.IntervalS, len(f.Caches))
			continue
		}
		for i, want := range c.hits {
			if f.Caches[i].HitsPerS != want {
				t.Errorf("%s: %s has %v hits a second, want %v", name, f.Caches[i].Name, f.Caches[i].HitsPerS, want)
			}
		}
	}
}

func TestSources(t *testing.T) {
	for address, want := range map[string][2]string{
		"127.0.0.1:6060":                          {"127.0.0.1:6060", "http://127.0.0.1:6060/debug/quiesce/snapshot.json"},
		"[::1]:80":                                {"[::1]:80", "http://[::1]:80/debug/quiesce/snapshot.json"},
		"http://host/":                            {"host", "http://host/debug/quiesce/snapshot.json"},
		"https://host:8443/debug/quiesce":         {"https://host:8443/debug/quiesce/", "https://host:8443/debug/quiesce/snapshot.json"},
		"http://host:1/q/snapshot.json":           {"http://host:1/q/", "http://host:1/q/snapshot.json"},
		"host:1/internal/q/":                      {"http://host:1/internal/q/", "http://host:1/internal/q/snapshot.json"},
		"http://me:secret@host:1/debug/quiesce/":  {"http://me:xxxxx@host:1/debug/quiesce/", "http://me:secret@host:1/debug/quiesce/snapshot.json"},
		"http://host:1/debug/quiesce/?token=a%20": {"http://host:1/debug/quiesce/?token=a%20", "http://host:1/debug/quiesce/snapshot.json?token=a%20"},
	} {
		s, err := NewSource(address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		if got := [2]string{s.Page, s.url}; got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
	for _, address := range []string{"", "ftp://host/", "http://", "host:port:more", "http://host:/x", "%zz"} {
		if s, err := NewSource(address); err == nil {
			t.Errorf("%q is %q", address, s.url)
		}
	}
}

func TestASourceReadsWhatTheHandlerServes(t *testing.T) {
	m, err := rcuhash.New[int, int](0, rcuhash.WithName("squares"))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for i := range 100 {
		m.Put(i, i*i)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/quiesce/", inspect.Handler())
	mux.HandleFunc("/html/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>")) })
	mux.HandleFunc("/json/", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(`{"alive": true}`)) })
	mux.HandleFunc("/slow/", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	server := httptest.NewServer(mux)
	defer server.Close()
	read := func(ctx context.Context, url string) (*inspect.State, error) {
		t.Helper()
		s, err := NewSource(url)
		if err != nil {
			t.Fatal(err)
		}
		return s.Read(ctx)
	}
	s, err := NewSource(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	f, err := Once(t.Context(), s, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Maps) != 1 || f.Maps[0].Name != "squares" || f.Maps[0].Keys != 100 || f.IntervalS <= 0 {
		t.Errorf("%+v", f)
	}
	for path, want := range map[string]string{
		"/nowhere/": "404 Not Found: is inspect.Handler there?", "/html/": "no page of inspect.Handler", "/json/": "no page of inspect.Handler",
	} {
		if _, err := read(t.Context(), server.URL+path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := read(ctx, server.URL+"/slow/"); err == nil {
		t.Error("no error of a context that is over")
	}
	if _, err := Once(ctx, s, time.Hour); err == nil {
		t.Error("no error of a context that is over")
	}
	server.Close()
	if _, err := Once(t.Context(), s, time.Hour); err == nil || strings.Contains(err.Error(), "snapshot.json") {
		t.Errorf("%v, want an error that does not repeat the URL", err)
	}
}
