package groupcache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/groupcache/groupcache-go/v3"
	"github.com/groupcache/groupcache-go/v3/cluster"
	"github.com/groupcache/groupcache-go/v3/transport"
	"github.com/groupcache/groupcache-go/v3/transport/peer"

	"quiesce/cache"
)

// clock is a clock that the test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Now().UnixNano())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func newCache(t *testing.T, maxBytes int64, o cache.Options[string, []byte]) groupcache.Cache {
	t.Helper()
	c, err := Factory(o)(maxBytes)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func view(text string) transport.ByteView { return transport.ByteViewFrom(text) }

func TestValuesAndTheirExpiryComeBack(t *testing.T) {
	clk := newClock()
	c := newCache(t, 1<<20, cache.Options[string, []byte]{Now: clk.now})
	soon := clk.now().Add(90 * time.Second)
	for key, v := range map[string]transport.ByteView{
		"text":  view("value"),
		"bytes": transport.ByteViewWithExpire([]byte("value"), soon),
		"empty": transport.ByteViewWithExpire(nil, soon),
		"":      view("the empty key"),
		"late":  transport.ByteViewWithExpire([]byte("x"), time.Date(9999, 1, 2, 3, 4, 5, 6, time.UTC)),
	} {
		c.Add(key, v)
		got, ok := c.Get(key)
		if !ok || !got.Equal(v) || !got.Expire().Equal(v.Expire()) || got.Expire().IsZero() != v.Expire().IsZero() {
			t.Errorf("%q: %q until %v, %v; want %q until %v", key, got, got.Expire(), ok, v, v.Expire())
		}
	}
	clk.advance(89 * time.Second)
	if _, ok := c.Get("bytes"); !ok {
		t.Error("gone a second before its time")
	}
	clk.advance(time.Second)
	if _, ok := c.Get("bytes"); ok {
		t.Error("there at its time")
	}
	if _, ok := c.Get("text"); !ok {
		t.Error("what has no time of expiry is gone")
	}
}

func TestWhatHasExpiredReplacesWhatWasThere(t *testing.T) {
	clk := newClock()
	c := newCache(t, 1<<20, cache.Options[string, []byte]{Now: clk.now})
	c.Add("k", view("old"))
	c.Add("k", transport.ByteViewWithExpire([]byte("new"), clk.now().Add(-time.Second)))
	if v, ok := c.Get("k"); ok {
		t.Errorf("found %q", v)
	}
}

func TestStatsAreTheCaches(t *testing.T) {
	left := map[cache.Reason][]string{}
	c := newCache(t, 1<<20, cache.Options[string, []byte]{
		OnEvict: func(k string, v []byte, why cache.Reason) { left[why] = append(left[why], k+"="+string(v)) },
	})
	c.Add("a", view("1"))
	c.Add("b", view("2"))
	c.Add("large", transport.ByteViewFrom(make([]byte, 1<<20)))
	c.Get("a")
	c.Get("no")
	c.Remove("b")
	c.Remove("no")
	s := c.Stats()
	bytes := s.Bytes
	s.Bytes = 0
	if want := (groupcache.CacheStats{Rejected: 1, Items: 1, Gets: 2, Hits: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	if bytes <= 0 || bytes > 1<<20 || c.Bytes() <= 0 || c.Bytes() > 1<<20 {
		t.Errorf("%d and %d bytes, want more than 0, at most %d", bytes, c.Bytes(), 1<<20)
	}
	if got := fmt.Sprint(left); got != "map[deleted:[b=2]]" {
		t.Errorf("left: %s", got)
	}
	value := bytesOf(100)
	for i := range 15_000 {
		c.Add(fmt.Sprint(i), transport.ByteViewFrom(value))
	}
	if s := c.Stats(); s.Evictions == 0 || s.Bytes > 1<<20 {
		t.Errorf("after more than fits: %d evictions, %d bytes", s.Evictions, s.Bytes)
	}
}

func bytesOf(n int) []byte { return bytes.Repeat([]byte{'v'}, n) }

func TestAGroupWithoutACache(t *testing.T) {
	loads := 0
	g, err := groupcache.New(groupcache.Options{CacheFactory: New}).NewGroup("none", 0, groupcache.GetterFunc(
		func(_ context.Context, key string, dest transport.Sink) error {
			loads++
			return dest.SetString("v", time.Time{})
		}))
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		var s string
		if err := g.Get(t.Context(), "k", transport.StringSink(&s)); err != nil || s != "v" {
			t.Errorf("%q, %v", s, err)
		}
	}
	if main, hot := g.UsedBytes(); loads != 3 || main != 0 || hot != 0 {
		t.Errorf("%d loads, %d and %d bytes; want 3, 0, 0", loads, main, hot)
	}
}

func TestABadSizeIsAnError(t *testing.T) {
	if _, err := groupcache.New(groupcache.Options{CacheFactory: New}).NewGroup("big", 1<<50, groupcache.GetterFunc(
		func(context.Context, string, transport.Sink) error { return nil })); err == nil {
		t.Error("no error for a petabyte")
	}
}

// Three instances of groupcache, which talk to each other by HTTP.
func TestACluster(t *testing.T) {
	clk := newClock()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	opts := groupcache.Options{
		Logger:       quiet,
		Transport:    transport.NewHttpTransport(transport.HttpTransportOptions{Logger: quiet}),
		CacheFactory: Factory(cache.Options[string, []byte]{Now: clk.now}),
	}
	ctx := t.Context()
	local := peer.Info{Address: "127.0.0.1:0"}
	if err := cluster.StartWith(ctx, []peer.Info{local, local, local}, opts); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := cluster.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	var loads atomic.Int64
	var groups []groupcache.Group
	for _, d := range cluster.ListDaemons() {
		g, err := d.GetInstance().NewGroup("numbers", 4<<20, groupcache.GetterFunc(
			func(_ context.Context, key string, dest transport.Sink) error {
				loads.Add(1)
				return dest.SetString("number "+key, clk.now().Add(time.Minute))
			}))
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
	}
	const n = 200
	get := func(g groupcache.Group, key string) string {
		t.Helper()
		var s string
		if err := g.Get(ctx, key, transport.StringSink(&s)); err != nil {
			t.Fatal(err)
		}
		return s
	}
	all := func(what string, want int64) {
		t.Helper()
		was := loads.Load()
		for _, g := range groups {
			for i := range n {
				if s := get(g, fmt.Sprint(i)); s != fmt.Sprint("number ", i) {
					t.Fatalf("%s: %d is %q", what, i, s)
				}
			}
		}
		if got := loads.Load() - was; got != want {
			t.Errorf("%s: %d loads, want %d", what, got, want)
		}
	}
	all("at first", n)
	all("again", 0)
	clk.advance(59 * time.Second)
	all("before they expire", 0)
	clk.advance(time.Second)
	all("after they have expired", n)

	if err := groups[0].Remove(ctx, "7"); err != nil {
		t.Fatal(err)
	}
	all("after one was removed", 1)
	if err := groups[1].Set(ctx, "7", []byte("seven"), clk.now().Add(time.Second), false); err != nil {
		t.Fatal(err)
	}
	for i, g := range groups {
		if s := get(g, "7"); s != "seven" {
			t.Errorf("instance %d: 7 is %q after a Set", i, s)
		}
	}
	clk.advance(2 * time.Second)
	all("after what was set has expired", 1)
}
