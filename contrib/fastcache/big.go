package fastcache

import (
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"

	"quiesce/rcu"
)

// A value of SetBig is an entry under its key and tagBig. If it has partSize or more
// bytes, or as many as an index, it is in parts instead, and that entry is their index:
// a number that no other value has, and the length. A part's key is that number, the
// part's, and tagPart.
const (
	partSize  = 1<<20 - 256 // with a key and a header it fits an object of 1 MiB
	indexSize = 8 + 8
	mostKey   = 64<<10 - 21 // as in fastcache
)

// BigStats are the figures of SetBig and GetBig.
type BigStats struct {
	GetBigCalls            uint64
	SetBigCalls            uint64
	TooBigKeyErrors        uint64 // calls of SetBig with a key that is too long
	InvalidMetavalueErrors uint64 // 0
	InvalidValueLenErrors  uint64 // 0
	InvalidValueHashErrors uint64 // 0: LoadFromFile returns an error
}

// bigCounts are a cache's.
type bigCounts struct {
	used                atomic.Bool // SetBig was called
	gets, sets, tooLong atomic.Uint64
}

func (n *bigCounts) reset() {
	n.gets.Store(0)
	n.sets.Store(0)
	n.tooLong.Store(0)
}

func (n *bigCounts) addTo(s *BigStats) {
	s.GetBigCalls += n.gets.Load()
	s.SetBigCalls += n.sets.Load()
	s.TooBigKeyErrors += n.tooLong.Load()
}

// SetBig stores v, of any length, under k, for GetBig.
func (c *Cache) SetBig(k, v []byte) {
	c.big.sets.Add(1)
	if len(k) > mostKey {
		c.big.tooLong.Add(1)
		return
	}
	c.big.used.Store(true)
	var r room
	key := append(append(r[:0], k...), tagBig)
	if len(v) < partSize && len(v) != indexSize {
		old, had := c.index(key)
		_ = c.b.Set(str(key), v) // the cache counts what fails
		if had {
			c.delParts(old)
		}
		return
	}
	var now index
	binary.LittleEndian.PutUint64(now[:], rand.Uint64())
	binary.LittleEndian.PutUint64(now[8:], uint64(len(v)))
	for i := 0; i < now.parts(); i++ {
		part := now.part(i)
		if c.b.Set(str(part[:]), v[i*partSize:min((i+1)*partSize, len(v))]) != nil {
			c.delBig(key) // rather no value than an old one
			c.delParts(now)
			return
		}
	}
	old, had := c.index(key)
	_ = c.b.Set(str(key), now[:])
	if had {
		c.delParts(old)
	}
}

// GetBig appends the value of k that SetBig stored to dst, if there is one, and
// returns dst. If dst is nil and there is none, it returns nil.
func (c *Cache) GetBig(dst, k []byte) []byte {
	c.big.gets.Add(1)
	var r room
	key := append(append(r[:0], k...), tagBig)
	g := rcu.ReadLock()
	v, ok := c.b.GetKey(g, key)
	if !ok || len(v) != indexSize {
		defer g.Unlock()
		return append(dst, v...)
	}
	of := index(v)
	g.Unlock()
	n := len(dst)
	for i := range of.parts() {
		part := of.part(i)
		g := rcu.ReadLock()
		v, ok := c.b.GetKey(g, part[:])
		if ok && i == 0 && cap(dst)-n < of.size() {
			dst = append(make([]byte, 0, n+of.size()), dst...)
		}
		dst = append(dst, v...)
		g.Unlock()
		if !ok {
			return dst[:n]
		}
	}
	return dst
}

// index says where a value's parts are.
type index [indexSize]byte

func (x *index) size() int  { return int(binary.LittleEndian.Uint64(x[8:])) }
func (x *index) parts() int { return (x.size() + partSize - 1) / partSize }

// part returns the key of a part.
func (x *index) part(i int) (key [8 + 4 + 1]byte) {
	copy(key[:], x[:8])
	binary.LittleEndian.PutUint32(key[8:], uint32(i))
	key[12] = tagPart
	return key
}

// index returns the index of a value that is in parts.
func (c *Cache) index(key []byte) (x index, ok bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if v, _ := c.b.GetKey(g, key); len(v) == indexSize {
		return index(v), true
	}
	return x, false
}

// delBig removes a value of SetBig.
func (c *Cache) delBig(key []byte) {
	old, had := c.index(key)
	c.b.Delete(str(key))
	if had {
		c.delParts(old)
	}
}

func (c *Cache) delParts(x index) {
	for i := range x.parts() {
		part := x.part(i)
		c.b.Delete(str(part[:]))
	}
}
