package item

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"quiesce/cache"
	"quiesce/cmd/quiesced/internal/proto"
	"quiesce/rcu"
)

func newStore(t *testing.T, maxBytes int64) (*Store, *cache.Bytes[string]) {
	t.Helper()
	c, err := cache.NewBytes(cache.Options[string, []byte]{Name: t.Name(), MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return NewStore(c, 2<<20, cache.ErrTooLarge), c
}

// put stores data, and peek returns a copy of them.
func put(s *Store, key, data string, c *Change, now int64) (Result, uint64) {
	v := append(make([]byte, HeaderSize), data...)
	var buf []byte
	r, cas, _ := s.Put([]byte(key), v, c, &buf, now)
	return r, cas
}

func peek(s *Store, key string, now int64) (string, bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	it, ok := s.Peek(g, []byte(key), now)
	return string(it.Data), ok
}

func TestExpiry(t *testing.T) {
	const now = 1_700_000_000
	for _, c := range []struct {
		sent int64
		want uint32
	}{
		{0, 0}, {1, now + 1}, {maxRelative, now + maxRelative}, {maxRelative + 1, maxRelative + 1}, {now + 5, now + 5},
		{-1, past}, {-1 << 63, past}, {1 << 40, 1<<32 - 1},
	} {
		if got := Expiry(c.sent, now); got != c.want {
			t.Errorf("Expiry(%d) = %d, want %d", c.sent, got, c.want)
		}
	}
	for expiry, want := range map[uint32]bool{0: false, past: true, now: true, now + 1: false} {
		if got := expired(expiry, now); got != want {
			t.Errorf("expired(%d) = %v", expiry, got)
		}
	}
}

func TestHeader(t *testing.T) {
	want := Item{Flags: 1<<32 - 1, CAS: 1<<64 - 1, Expiry: 1<<32 - 2, State: Stale | BinaryKey, Data: []byte("data")}
	v := append(bytes.Repeat([]byte{0xff}, HeaderSize), "data"...)
	want.encode(v, 5)
	got := decode(v)
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if markAccess(v, 1_700_000_000); decode(v).access == 0 {
		t.Error("a read left no mark")
	}
	if got = decode(v); got.CAS != want.CAS || got.Flags != want.Flags || got.State != want.State || got.Expiry != want.Expiry {
		t.Errorf("after a read: %+v", got)
	}
}

// The mark of a read changes with the minute, and is never that of no read.
func TestAccessMark(t *testing.T) {
	for now := int64(0); now < 300*60; now += 30 {
		if accessMark(now) == 0 || accessMark(now) == accessMark(now+60) {
			t.Fatalf("at %d", now)
		}
	}
}

func TestAccessed(t *testing.T) {
	s, _ := newStore(t, 1<<20)
	now := time.Now().Unix()
	put(s, "k", "v", &Change{}, now)
	meta := func(at int64) Meta {
		var buf []byte
		m, ok := s.MetaGet([]byte("k"), &MetaGet{NoUpdate: true}, &buf, at)
		if !ok {
			t.Fatal("k is not there")
		}
		return m
	}
	if m := meta(now + 7); m.Fetched || m.LastRead != 7 {
		t.Errorf("before a read: %+v", m)
	}
	read := func(at int64) {
		g := rcu.ReadLock()
		it, ok := s.Peek(g, []byte("k"), at)
		g.Unlock()
		if !ok {
			t.Fatal("k is not there")
		}
		it.Data = nil
		s.Accessed([]byte("k"), it, at)
	}
	read(now + 10)
	if m := meta(now + 30); !m.Fetched || m.LastRead != 20 {
		t.Errorf("after a read: %+v", m)
	}
	read(now + 200)
	if m := meta(now + 200); m.LastRead != 0 {
		t.Errorf("after another one: %+v", m)
	}
}

// A set that the cache refuses leaves no old value.
func TestWhatIsRefusedIsGone(t *testing.T) {
	s, _ := newStore(t, 8<<20)
	now := time.Now().Unix()
	put(s, "k", "old", &Change{}, now)
	if r, _ := put(s, "k", strings.Repeat("x", 3<<20), &Change{}, now); r != TooLarge {
		t.Errorf("result %d", r)
	}
	if v, ok := peek(s, "k", now); ok {
		t.Errorf("k is %q", v)
	}
}

func TestState(t *testing.T) {
	s, _ := newStore(t, 8<<20)
	now := time.Now().Unix()
	for i := range 3000 {
		put(s, fmt.Sprint("k", i), strings.Repeat("v", i%700), &Change{Flags: uint32(i)}, now)
	}
	put(s, "timed", "x", &Change{Expiry: uint32(now + 1000)}, now)
	_, last := put(s, "", "no key at all", &Change{}, now)
	var file bytes.Buffer
	if err := s.Save(&file); err != nil {
		t.Fatal(err)
	}
	whole := file.Bytes()

	to, c := newStore(t, 8<<20)
	put(to, "k1", "old", &Change{}, now)
	if err := to.Load(bytes.NewReader(whole)); err != nil || c.Len() != 3002 {
		t.Errorf("%d items, %v", c.Len(), err)
	}
	for i := range 3000 {
		if v, ok := peek(to, fmt.Sprint("k", i), now); !ok || v != strings.Repeat("v", i%700) {
			t.Fatalf("k%d: %q, %v", i, v, ok)
		}
	}
	if _, ok := peek(to, "timed", now); !ok {
		t.Error("timed is not there")
	}
	if _, ok := peek(to, "timed", now+1000); ok {
		t.Error("timed has lost its end")
	}
	if _, cas := put(to, "new", "", &Change{}, now); cas <= last {
		t.Errorf("CAS %d after %d", cas, last)
	}

	// Whatever happens to a byte, or to the end, is noticed before anything is stored.
	empty, c := newStore(t, 8<<20)
	for i := 0; i < len(whole); i += 1 + len(whole)/60 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 0x40
		for _, text := range [][]byte{damaged, whole[:i]} {
			if err := empty.Load(bytes.NewReader(text)); !errors.Is(err, ErrState) && !errors.Is(err, cache.ErrCorrupt) {
				t.Fatalf("damaged at %d of %d: %v", i, len(whole), err)
			}
		}
	}
	if c.Len() != 0 {
		t.Errorf("%d items of damaged states", c.Len())
	}
	if err := s.Save(brokenDisk{}); err == nil {
		t.Error("no error from a Save that can't write")
	}
}

type brokenDisk struct{}

func (brokenDisk) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// A later flush replaces an earlier one that has not come.
func TestFlushAt(t *testing.T) {
	s, _ := newStore(t, 1<<20)
	now := time.Now().Unix()
	put(s, "k", "v", &Change{}, now)
	s.FlushAt(now + 1000)
	s.FlushAt(now)
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		if _, ok := peek(s, "k", now); !ok {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the flush has not come")
		}
	}
	s.FlushAt(now + 1000)
	s.StopFlush()
	if r, _ := put(s, "k", "v", &Change{Mode: proto.Add}, now); r != Stored {
		t.Errorf("result %d", r)
	}
}
