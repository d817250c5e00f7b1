package main

import (
	"fmt"

	"quiesce/bench/internal/harness"
	"quiesce/cache"
	"quiesce/rcu"
)

// ourStats is what the two have in common.
type ourStats interface{ Stats() cache.Stats }

// allAccounted checks that what was stored is there, or is counted.
func allAccounted(c ourStats) error {
	s := c.Stats()
	if n := uint64(s.Entries) + s.Evictions + s.Expirations + s.Deletes + s.Replaced + s.Cleared + s.Dropped; n != s.Sets {
		return harness.WrongError{What: fmt.Sprintf("%d entries were stored, %d are there or have left: %+v", s.Sets, n, s)}
	}
	return nil
}

type ourBytes struct{ *cache.Bytes[string] }

func newOurBytes(p plan) (store, error) {
	c, err := cache.NewBytes(cache.Options[string, []byte]{MaxBytes: int64(p.bytes)})
	return ourBytes{c}, err
}

func (c ourBytes) reader() func(*probe) answer {
	var dst []byte
	return func(p *probe) answer {
		var ok bool
		if dst, ok = c.AppendTo(dst[:0], p.s); !ok {
			return missed
		}
		return check(dst, p)
	}
}

func (c ourBytes) viewer() func(*probe) answer {
	return func(p *probe) answer {
		a := missed
		c.View(p.s, func(v []byte) { a = check(v, p) })
		return a
	}
}

func (c ourBytes) hold(p *probe) (release func()) {
	g := rcu.ReadLock()
	c.GetGuarded(g, p.s)
	return g.Unlock
}

func (c ourBytes) set(p *probe, v []byte) { _ = c.Set(p.s, v) } // what fails is missed, and counted
func (c ourBytes) close() error           { return c.Close() }

type ourCache struct {
	*cache.Cache[string, [valueSize]byte]
}

func newOurCache(p plan) (store, error) {
	c, err := cache.New(cache.Options[string, [valueSize]byte]{MaxBytes: int64(p.bytes)})
	return ourCache{c}, err
}

func (c ourCache) reader() func(*probe) answer {
	return func(p *probe) answer {
		v, ok := c.Get(p.s)
		if !ok {
			return missed
		}
		return check(v[:], p)
	}
}

func (c ourCache) viewer() func(*probe) answer {
	return func(p *probe) answer {
		a := missed
		c.View(p.s, func(v *[valueSize]byte) { a = check(v[:], p) })
		return a
	}
}

func (c ourCache) set(p *probe, v []byte) { _ = c.Set(p.s, [valueSize]byte(v)) }
func (c ourCache) close() error           { return c.Close() }
