package groupcache

import (
	"encoding/binary"
	"time"

	"github.com/groupcache/groupcache-go/v3"
	"github.com/groupcache/groupcache-go/v3/transport"

	"quiesce/cache"
)

// leastBytes is the least that a cache.Bytes takes.
const leastBytes = 256 << 10

// New makes a cache of at most maxBytes for a group: it is a CacheFactory of
// groupcache's Options. Less than 256 KiB counts as that. A cache of no bytes, which
// groupcache asks for and never uses when a group has none, keeps nothing.
func New(maxBytes int64) (groupcache.Cache, error) {
	return Factory(cache.Options[string, []byte]{Name: "groupcache"})(maxBytes)
}

// Factory returns a CacheFactory whose caches have these options, except for MaxBytes,
// which groupcache says. OnEvict gets values as groupcache knows them. Options.TTL is
// for values that have no time of expiry of their own.
func Factory(o cache.Options[string, []byte]) func(maxBytes int64) (groupcache.Cache, error) {
	if evicted := o.OnEvict; evicted != nil {
		o.OnEvict = func(key string, value []byte, why cache.Reason) { evicted(key, value[headSize:], why) }
	}
	return func(maxBytes int64) (groupcache.Cache, error) {
		if maxBytes <= 0 {
			return empty{}, nil
		}
		o := o
		o.MaxBytes = max(maxBytes, leastBytes)
		b, err := cache.NewBytes(o)
		if err != nil {
			return nil, err
		}
		return &bytesCache{b, o.Now}, nil
	}
}

// bytesCache is a groupcache.Cache.
type bytesCache struct {
	b   *cache.Bytes[string]
	now func() time.Time // nil: time.Now
}

// A value begins with the time of its expiry, which groupcache tells other peers:
// seconds (8 bytes) and nanoseconds (4) since 1970, or all ones if there is none.
const headSize = 8 + 4

const never = 1<<32 - 1 // as nanoseconds: no time has so many

// Get returns a copy of a value.
func (c *bytesCache) Get(key string) (transport.ByteView, bool) {
	v, ok := c.b.Get(key)
	if !ok {
		return transport.ByteView{}, false
	}
	var expire time.Time
	if ns := binary.LittleEndian.Uint32(v[8:]); ns != never {
		expire = time.Unix(int64(binary.LittleEndian.Uint64(v)), int64(ns))
	}
	return transport.ByteViewWithExpire(v[headSize:], expire), true
}

// Add stores a copy of a value until it expires. What is not stored because it is too
// large, or because there was no memory in time, is counted as rejected.
func (c *bytesCache) Add(key string, value transport.ByteView) {
	v := make([]byte, headSize+value.Len())
	value.Copy(v[headSize:])
	expire := value.Expire()
	if expire.IsZero() {
		binary.LittleEndian.PutUint32(v[8:], never)
		_ = c.b.Set(key, v) // the cache counts what fails
		return
	}
	binary.LittleEndian.PutUint64(v, uint64(expire.Unix()))
	binary.LittleEndian.PutUint32(v[8:], uint32(expire.Nanosecond()))
	now := time.Now
	if c.now != nil {
		now = c.now
	}
	if ttl := expire.Sub(now()); ttl > 0 {
		_ = c.b.SetTTL(key, v, ttl)
	} else {
		c.b.Delete(key)
	}
}

// Remove removes a value.
func (c *bytesCache) Remove(key string) { c.b.Delete(key) }

// Stats returns the cache's figures. Evictions are the entries that left to make room.
func (c *bytesCache) Stats() groupcache.CacheStats {
	s := c.b.Stats()
	return groupcache.CacheStats{
		Rejected:  int64(s.TooLarge + s.Busy),
		Bytes:     s.Bytes,
		Items:     int64(s.Entries),
		Gets:      int64(s.Hits + s.Misses),
		Hits:      int64(s.Hits),
		Evictions: int64(s.Evictions),
	}
}

// Bytes returns the memory that the cache has.
func (c *bytesCache) Bytes() int64 { return c.b.Bytes() }

// Close frees the memory. The cache must not be used afterwards.
func (c *bytesCache) Close() { _ = c.b.Close() }

// empty is the cache of a group without one.
type empty struct{}

func (empty) Get(string) (v transport.ByteView, ok bool) { return v, false }
func (empty) Add(string, transport.ByteView)             {}
func (empty) Remove(string)                              {}
func (empty) Stats() (s groupcache.CacheStats)           { return s }
func (empty) Bytes() int64                               { return 0 }
func (empty) Close()                                     {}
