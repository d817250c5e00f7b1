package fastcache

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/cache"
	"quiesce/rcu"
)

const (
	// leastBytes is what a cache has at least, as in fastcache.
	leastBytes = 32 << 20
	// mostEntry is the size from which on Set does not store an entry: key and value,
	// and the 4 bytes that fastcache has for their lengths.
	mostEntry = 64 << 10
)

// Cache is a cache from bytes to bytes, made by New or LoadFromFile. All of its methods
// may be called at any time by any number of goroutines. What is passed to them is
// copied.
//
// A Cache that is not used any more is freed after a garbage collection. Reset gives
// its memory back at once.
type Cache struct {
	b        *cache.Bytes[string]
	maxBytes int
	big      bigCounts
	unstored atomic.Uint64 // Sets of what is too large

	resets sync.RWMutex // protects base
	base   cache.Stats  // when Reset was called
}

// Stats are a cache's figures.
type Stats struct {
	GetCalls     uint64 // look-ups
	SetCalls     uint64 // of Set, and the entries that SetBig made
	Misses       uint64 // look-ups that found nothing
	Collisions   uint64 // 0: there are none
	Corruptions  uint64 // 0: LoadFromFile returns an error
	EntriesCount uint64 // now
	BytesSize    uint64 // memory now
	MaxBytesSize uint64 // the most
	BigStats
}

// Reset sets all figures to 0.
func (s *Stats) Reset() { *s = Stats{} }

// New makes a cache of at most maxBytes, and at least 32 MiB. It panics if maxBytes is
// not more than 0, or if it is more than 64 GiB.
func New(maxBytes int) *Cache {
	if maxBytes <= 0 {
		panic(fmt.Errorf("fastcache: maxBytes is %d, want more than 0", maxBytes))
	}
	c, err := newCache(maxBytes)
	if err != nil {
		panic(err)
	}
	return c
}

func newCache(maxBytes int) (*Cache, error) {
	maxBytes = max(maxBytes, leastBytes)
	b, err := cache.NewBytes(cache.Options[string, []byte]{
		Name:     "fastcache",
		MaxBytes: int64(maxBytes),
		Logger:   slog.New(slog.DiscardHandler), // programs on fastcache close nothing
	})
	if err != nil {
		return nil, fmt.Errorf("fastcache: %w", err)
	}
	return &Cache{b: b, maxBytes: maxBytes}, nil
}

// The last byte of a key in the cache says whose it is: Set's have any but the last
// four values, so those keys get one more byte.
const (
	tagLeast = 0xfc
	tagPart  = 0xfc // a part of a value of SetBig
	tagBig   = 0xfd // a value of SetBig, or where its parts are
	tagSet   = 0xfe // a key of Set that ends in one of the four
)

// room is for a key with its tag on the stack.
type room [128]byte

// plain returns the key of Set and Get.
func plain(k []byte, r *room) []byte {
	if len(k) == 0 || k[len(k)-1] < tagLeast {
		return k
	}
	return append(append(r[:0], k...), tagSet)
}

// str returns k as a string that is valid as long as k is not changed. The cache
// copies keys that it keeps.
func str(k []byte) string { return unsafe.String(unsafe.SliceData(k), len(k)) }

// Set stores v under k. It stores nothing if they have 64 KiB or more together: see
// SetBig.
func (c *Cache) Set(k, v []byte) {
	var r room
	if 4+len(k)+len(v) >= mostEntry {
		c.unstored.Add(1)
		if len(k) < mostEntry {
			c.b.Delete(str(plain(k, &r)))
		}
		return
	}
	_ = c.b.Set(str(plain(k, &r)), v) // the cache counts what fails
}

// Get appends the value of k to dst, if there is one, and returns dst.
func (c *Cache) Get(dst, k []byte) []byte {
	dst, _ = c.HasGet(dst, k)
	return dst
}

// HasGet is Get, and reports whether there is a value.
func (c *Cache) HasGet(dst, k []byte) ([]byte, bool) {
	var r room
	g := rcu.ReadLock()
	defer g.Unlock()
	v, ok := c.b.GetKey(g, plain(k, &r))
	if !ok {
		return dst, false
	}
	return append(dst, v...), true
}

// Has reports whether k has a value of Set or SetBig.
func (c *Cache) Has(k []byte) bool {
	var r room
	g := rcu.ReadLock()
	defer g.Unlock()
	_, ok := c.b.GetKey(g, plain(k, &r))
	if !ok && c.big.used.Load() {
		_, ok = c.b.GetKey(g, append(append(r[:0], k...), tagBig))
	}
	return ok
}

// Del removes what k has of Set and SetBig.
func (c *Cache) Del(k []byte) {
	var r room
	c.b.Delete(str(plain(k, &r)))
	if c.big.used.Load() {
		c.delBig(append(append(r[:0], k...), tagBig))
	}
}

// Reset removes everything, sets the figures to 0, and gives the memory back.
func (c *Cache) Reset() {
	c.resets.Lock()
	defer c.resets.Unlock()
	c.b.Clear()
	// Memory that is free stays the cache's, except when it has to have less. How little
	// it may have depends on its size and the processors. ErrBusy says that readers keep
	// some, or others fill it again meanwhile.
	for n := int64(leastKept); n < int64(c.maxBytes); n *= 2 {
		if err := c.b.SetMaxBytes(n); err == nil || errors.Is(err, cache.ErrBusy) {
			break
		}
	}
	_ = c.b.SetMaxBytes(int64(c.maxBytes))
	c.base = c.b.Stats()
	c.big.reset()
	c.unstored.Store(0)
}

// leastKept is the least that a cache.Bytes may have.
const leastKept = 256 << 10

// UpdateStats adds the cache's figures to s.
func (c *Cache) UpdateStats(s *Stats) {
	c.resets.RLock()
	defer c.resets.RUnlock()
	n := c.b.Stats().Minus(c.base)
	s.GetCalls += n.Hits + n.Misses
	s.SetCalls += n.Sets + n.Busy + n.TooLarge + c.unstored.Load()
	s.Misses += n.Misses
	s.EntriesCount += uint64(n.Entries)
	s.BytesSize += uint64(n.Bytes)
	s.MaxBytesSize += uint64(n.MaxBytes)
	c.big.addTo(&s.BigStats)
}
