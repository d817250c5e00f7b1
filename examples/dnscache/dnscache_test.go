package main

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what a fake server knows. A question for a name that it does not have is
// answered so, for as long as its SOA says.
type zone struct {
	asked atomic.Int64
	down  atomic.Bool   // answers SERVFAIL
	gate  chan struct{} // answers wait until it is closed
	ttl   uint32        // 60 if 0
}

func (z *zone) answer(q dnsmessage.Question) *dnsmessage.Message {
	z.asked.Add(1)
	if z.gate != nil {
		<-z.gate
	}
	m := &dnsmessage.Message{Header: dnsmessage.Header{Response: true, Authoritative: true}, Questions: []dnsmessage.Question{q}}
	h := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: z.ttl}
	if h.TTL == 0 {
		h.TTL = 60
	}
	switch name := strings.ToLower(q.Name.String()); {
	case z.down.Load():
		m.RCode = dnsmessage.RCodeServerFailure
	case strings.HasPrefix(name, "none."):
		m.RCode = dnsmessage.RCodeNameError
		h.Type = dnsmessage.TypeSOA
		m.Authorities = []dnsmessage.Resource{{Header: h, Body: &dnsmessage.SOAResource{NS: q.Name, MBox: q.Name, MinTTL: 10}}}
	case strings.HasPrefix(name, "zero."):
		h.TTL = 0
		fallthrough
	default:
		more := h
		more.TTL *= 2
		m.Answers = []dnsmessage.Resource{
			{Header: h, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
			{Header: more, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}}},
		}
	}
	return m
}

// Resolve implements Resolver.
func (z *zone) Resolve(_ context.Context, q dnsmessage.Question) ([]byte, error) {
	return z.answer(q).Pack()
}

// serve answers by UDP.
func (z *zone) serve(t *testing.T) (addr string) {
	conn := listen(t)
	go func() {
		buf := make([]byte, mostUDP)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			var ask dnsmessage.Message
			if ask.Unpack(buf[:n]) != nil {
				continue
			}
			m := z.answer(ask.Questions[0])
			// What is no answer to the question is ignored.
			for _, id := range []uint16{ask.ID + 1, ask.ID} {
				m.ID = id
				if wire, err := m.Pack(); err == nil {
					conn.WriteTo(wire, from)
				}
			}
		}
	}()
	return conn.LocalAddr().String()
}

func listen(t *testing.T) net.PacketConn {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

type clock struct{ ns atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

func newTestCache(t *testing.T, r Resolver, stale time.Duration) (*Cache, *clock) {
	clk := new(clock)
	clk.advance(1000 * time.Hour)
	c, err := NewCache(Options{Resolver: r, MaxBytes: 4 << 20, MaxTTL: time.Hour, StaleFor: stale, Now: clk.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, clk
}

func question(name string) dnsmessage.Question {
	return dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}
}

func ask(t *testing.T, c *Cache, name string) *dnsmessage.Message {
	t.Helper()
	m, err := c.Answer(t.Context(), question(name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return m
}

func TestAnAnswerLivesAsLongAsItSays(t *testing.T) {
	z := new(zone)
	c, clk := newTestCache(t, z, 0)
	asked := func(want int64) {
		t.Helper()
		if got := z.asked.Load(); got != want {
			t.Errorf("the resolver was asked %d times, want %d", got, want)
		}
	}
	if m := ask(t, c, "www.example."); len(m.Answers) != 2 || m.Answers[0].Header.TTL != 60 || m.Answers[1].Header.TTL != 120 {
		t.Errorf("%+v", m)
	}
	clk.advance(59 * time.Second)
	if m := ask(t, c, "WWW.example."); m.Answers[0].Header.TTL != 1 || m.Answers[1].Header.TTL != 61 {
		t.Errorf("after 59 s: %+v", m)
	}
	asked(1)
	clk.advance(time.Second)
	if m := ask(t, c, "www.example."); m.Answers[0].Header.TTL != 60 {
		t.Errorf("after 60 s: %+v", m)
	}
	asked(2)
	q := question("www.example.")
	q.Type = dnsmessage.TypeAAAA
	if _, err := c.Answer(t.Context(), q); err != nil {
		t.Error(err)
	}
	asked(3) // of another type
	ask(t, c, "zero.example.")
	ask(t, c, "zero.example.")
	asked(5)
}

func TestThatThereIsNoSuchNameIsKept(t *testing.T) {
	z := new(zone)
	c, clk := newTestCache(t, z, 0)
	for range 3 {
		if m := ask(t, c, "none.example."); m.RCode != dnsmessage.RCodeNameError {
			t.Errorf("%v", m.RCode)
		}
	}
	clk.advance(10 * time.Second)
	ask(t, c, "none.example.")
	if n := z.asked.Load(); n != 2 {
		t.Errorf("the resolver was asked %d times, want 2", n)
	}
}

func TestWhoAsksTheSameWaits(t *testing.T) {
	z := &zone{gate: make(chan struct{})}
	c, _ := newTestCache(t, z, 0)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if m, err := c.Answer(t.Context(), question("www.example.")); err != nil || len(m.Answers) != 2 {
				t.Errorf("%+v, %v", m, err)
			}
		})
	}
	close(z.gate)
	wg.Wait()
	if n := z.asked.Load(); n != 1 {
		t.Errorf("the resolver was asked %d times, want once", n)
	}
}

func TestAStaleAnswerIsBetterThanNone(t *testing.T) {
	z := new(zone)
	c, clk := newTestCache(t, z, time.Hour)
	ask(t, c, "www.example.")
	z.down.Store(true)
	clk.advance(time.Minute)
	for range 2 {
		if m := ask(t, c, "www.example."); len(m.Answers) != 2 || m.Answers[0].Header.TTL != staleTTL {
			t.Errorf("stale: %+v", m)
		}
	}
	if _, err := c.Answer(t.Context(), question("other.example.")); !errors.Is(err, errServer) {
		t.Errorf("never answered: %v", err)
	}
	if n := z.asked.Load(); n != 4 {
		t.Errorf("the resolver was asked %d times, want 4: failures are not kept", n)
	}
	clk.advance(time.Hour)
	if _, err := c.Answer(t.Context(), question("www.example.")); !errors.Is(err, errServer) {
		t.Errorf("an hour later: %v", err)
	}
	z.down.Store(false)
	if m := ask(t, c, "www.example."); m.Answers[0].Header.TTL != 60 {
		t.Errorf("when it is up again: %+v", m)
	}
}

// The whole of it: a client, the forwarder and a server, by UDP.
func TestTheForwarder(t *testing.T) {
	z := new(zone)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	up := &Upstream{Addr: z.serve(t), Timeout: 20 * time.Second}
	c, _ := newTestCache(t, up, time.Hour)
	conn := listen(t)
	done := make(chan error, 1)
	go func() { done <- c.Serve(ctx, conn, 10) }()
	client := &Upstream{Addr: conn.LocalAddr().String(), Timeout: 20 * time.Second}
	answer := func(name string) (m dnsmessage.Message) {
		t.Helper()
		wire, err := client.Resolve(ctx, question(name))
		if err == nil {
			err = m.Unpack(wire)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for range 3 {
		if m := answer("Www.example."); len(m.Answers) != 2 || m.Questions[0].Name.String() != "Www.example." || !m.RecursionAvailable || m.Authoritative {
			t.Errorf("%+v", m)
		}
		if m := answer("none.example."); m.RCode != dnsmessage.RCodeNameError {
			t.Errorf("%+v", m)
		}
	}
	if n := z.asked.Load(); n != 2 {
		t.Errorf("the server was asked %d times, want 2", n)
	}
	z.down.Store(true)
	if m := answer("new.example."); m.RCode != dnsmessage.RCodeServerFailure || len(m.Answers) != 0 {
		t.Errorf("%+v", m)
	}
	conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheCommand(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	if err := serve(ctx, "127.0.0.1:0", Options{Resolver: new(zone), MaxBytes: 1 << 20}, &out); err != nil || !strings.Contains(out.String(), "0 questions") {
		t.Errorf("%v, %s", err, out.String())
	}
	out.Reset()
	if status := run([]string{"-h"}, &out, &errs); status != 0 || !strings.Contains(out.String(), "-stale") {
		t.Errorf("-h: status %d", status)
	}
	if status := run([]string{"-memory", "0"}, &out, &errs); status != 2 {
		t.Errorf("no memory: status %d", status)
	}
}
