package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"quiesce/cache"
	"quiesce/page"
)

// Resolver asks for what the cache does not have. It returns the whole message that
// answers the question.
type Resolver interface {
	Resolve(ctx context.Context, q dnsmessage.Question) ([]byte, error)
}

// Options describes a Cache.
type Options struct {
	Resolver Resolver
	MaxBytes int64         // of memory
	MaxTTL   time.Duration // an answer lives no longer, whatever it says
	// StaleFor is how long an answer whose time is over is still given while the
	// resolver fails (RFC 8767). 0: not at all.
	StaleFor time.Duration
	Now      func() time.Time // nil: time.Now
}

// Cache answers questions, from memory as long as the answers live.
type Cache struct {
	o Options
	// Both have the same memory. The second has answers for StaleFor longer; what is
	// in it and is not asked for leaves first.
	pages        *page.Allocator
	fresh, stale *cache.Bytes[string]
}

// NewCache makes a cache.
func NewCache(o Options) (*Cache, error) {
	pages, err := page.New(page.Config{Name: "dnscache", Limit: o.MaxBytes})
	if err != nil {
		return nil, err
	}
	c := &Cache{o: o, pages: pages}
	if c.o.Now == nil {
		c.o.Now = time.Now
	}
	options := cache.Options[string, []byte]{Name: "fresh", Allocator: pages, Now: o.Now}
	if c.fresh, err = cache.NewBytes(options); err != nil {
		return nil, errors.Join(err, pages.Close())
	}
	options.Name = "stale"
	if c.stale, err = cache.NewBytes(options); err != nil {
		return nil, errors.Join(err, c.fresh.Close(), pages.Close())
	}
	return c, nil
}

// Close frees the memory.
func (c *Cache) Close() error {
	return errors.Join(c.fresh.Close(), c.stale.Close(), c.pages.Close())
}

// keyOf returns a question as a key: names differ in nothing but case are the same.
func keyOf(q dnsmessage.Question) string {
	return fmt.Sprintf("%s %d %d", strings.ToLower(q.Name.String()), q.Type, q.Class)
}

// A value is the Unix time at which the answer came, in 8 bytes, and the message.
const stampSize = 8

// staleTTL is what a stale answer says, as RFC 8767 recommends.
const staleTTL = 30

// Answer answers a question. Those who ask the same while the resolver is asked wait for
// its answer.
func (c *Cache) Answer(ctx context.Context, q dnsmessage.Question) (*dnsmessage.Message, error) {
	key := keyOf(q)
	v, err := c.fresh.GetOrLoad(ctx, key, func(ctx context.Context, key string) ([]byte, error) {
		return c.load(ctx, key, q)
	})
	if err != nil {
		var ok bool
		if v, ok = c.stale.Get(key); !ok || ctx.Err() != nil {
			return nil, err
		}
		return message(v, func(uint32) uint32 { return staleTTL })
	}
	age := uint32(max(c.o.Now().Unix()-int64(binary.LittleEndian.Uint64(v)), 0))
	return message(v, func(ttl uint32) uint32 { return ttl - min(age, ttl) })
}

// load asks the resolver, and stores the answer for as long as it says. It stores it
// itself since GetOrLoad has one time to live for all: what load has stored, GetOrLoad
// does not store again. A value that can't be stored is an answer all the same.
func (c *Cache) load(ctx context.Context, key string, q dnsmessage.Question) ([]byte, error) {
	wire, err := c.o.Resolver.Resolve(ctx, q)
	if err != nil {
		return nil, err
	}
	ttl, err := lifetime(wire)
	if err != nil {
		return nil, err
	}
	v := binary.LittleEndian.AppendUint64(make([]byte, 0, stampSize+len(wire)), uint64(c.o.Now().Unix()))
	v = append(v, wire...)
	ttl = min(ttl, c.o.MaxTTL)
	if ttl <= 0 {
		ttl = -1 // 0 would be for ever
	}
	_ = c.fresh.SetTTL(key, v, ttl)
	if c.o.StaleFor > 0 {
		_ = c.stale.SetTTL(key, v, max(ttl, 0)+c.o.StaleFor)
	}
	return v, nil
}

var errServer = errors.New("the server failed")

// lifetime returns how long an answer may be kept: the least of its records' times to
// live, or, if there is no such name or no such record, what the zone says of that
// (RFC 2308). A server's failure is an error, which is not kept.
func lifetime(wire []byte) (time.Duration, error) {
	var m dnsmessage.Message
	if err := m.Unpack(wire); err != nil {
		return 0, err
	}
	if m.RCode != dnsmessage.RCodeSuccess && m.RCode != dnsmessage.RCodeNameError {
		return 0, fmt.Errorf("%w: %v", errServer, m.RCode)
	}
	ttl := uint32(1<<31 - 1)
	for _, r := range m.Answers {
		ttl = min(ttl, r.Header.TTL)
	}
	if len(m.Answers) > 0 && m.RCode == dnsmessage.RCodeSuccess {
		return time.Duration(ttl) * time.Second, nil
	}
	negative := false
	for _, r := range m.Authorities {
		if soa, ok := r.Body.(*dnsmessage.SOAResource); ok {
			ttl, negative = min(ttl, r.Header.TTL, soa.MinTTL), true
		}
	}
	if !negative {
		return 0, nil
	}
	return time.Duration(ttl) * time.Second, nil
}

// message returns the answer that a value has, with times to live changed by ttl.
func message(v []byte, ttl func(uint32) uint32) (*dnsmessage.Message, error) {
	m := new(dnsmessage.Message)
	if err := m.Unpack(v[stampSize:]); err != nil {
		return nil, err
	}
	for _, part := range [][]dnsmessage.Resource{m.Answers, m.Authorities, m.Additionals} {
		for i := range part {
			if h := &part[i].Header; h.Type != dnsmessage.TypeOPT {
				h.TTL = ttl(h.TTL)
			}
		}
	}
	return m, nil
}
