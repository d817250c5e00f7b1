package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// mostUDP is the longest message without extensions.
const mostUDP = 512

// Upstream is a Resolver that asks a server by UDP.
type Upstream struct {
	Addr    string
	Timeout time.Duration // of a try; there are three
}

// Resolve implements Resolver.
func (u *Upstream) Resolve(ctx context.Context, q dnsmessage.Question) (wire []byte, err error) {
	for range 3 {
		if wire, err = u.try(ctx, q); err == nil || ctx.Err() != nil {
			return wire, err
		}
	}
	return nil, err
}

func (u *Upstream) try(ctx context.Context, q dnsmessage.Question) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, u.Timeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "udp", u.Addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	id := uint16(rand.Uint32())
	ask := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{q}}
	wire, err := ask.Pack()
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write(wire); err != nil {
		return nil, err
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, err
		}
		var p dnsmessage.Parser
		h, err := p.Start(buf[:n])
		if err != nil || h.ID != id || !h.Response {
			continue // not the answer
		}
		if got, err := p.Question(); err != nil || keyOf(got) != keyOf(q) {
			continue
		}
		if h.Truncated {
			return nil, fmt.Errorf("the answer does not fit UDP: %s", q.Name)
		}
		return buf[:n:n], nil
	}
}

// Serve answers what comes on a connection until it is closed, at most so many
// questions at a time.
func (c *Cache) Serve(ctx context.Context, conn net.PacketConn, most int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, most)
	buf := make([]byte, mostUDP)
	for {
		n, from, err := conn.ReadFrom(buf)
		if err != nil {
			cancel()
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		var ask dnsmessage.Message
		if ask.Unpack(buf[:n]) != nil || ask.Response || len(ask.Questions) != 1 {
			continue
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			if wire := c.reply(ctx, ask); wire != nil {
				conn.WriteTo(wire, from)
			}
		})
	}
}

// reply returns the message that answers another.
func (c *Cache) reply(ctx context.Context, ask dnsmessage.Message) []byte {
	m, err := c.Answer(ctx, ask.Questions[0])
	if err != nil {
		m = &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}
	}
	m.ID, m.Response, m.Authoritative = ask.ID, true, false
	m.RecursionDesired, m.RecursionAvailable = ask.RecursionDesired, true
	m.Questions = ask.Questions // as it was written
	wire, err := m.Pack()
	if err == nil && len(wire) > mostUDP {
		m.Truncated, m.Answers, m.Authorities, m.Additionals = true, nil, nil, nil
		wire, err = m.Pack()
	}
	if err != nil {
		return nil
	}
	return wire
}
