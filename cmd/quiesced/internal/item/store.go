package item

import (
	"encoding/binary"
	"errors"
	"hash/maphash"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/rcu"
)

// A Cache is what a Store keeps its items in: cache.Bytes[string].
type Cache interface {
	// GetKey returns the value of k, in place, valid under g.
	GetKey(g rcu.Guard, k []byte) ([]byte, bool)
	// SetTTL copies v; a ttl of 0 is none. It keeps neither k nor v.
	SetTTL(k string, v []byte, ttl time.Duration) error
	Delete(k string) bool
	Clear()
	Len() int
	Bytes() int64
	Save(io.Writer) error
	Load(io.Reader) error
}

// A Result is what became of a command.
type Result uint8

// The results.
const (
	Stored Result = iota
	NotStored
	Exists
	NotFound
	TooLarge
	NoMemory
	NotANumber
)

// stripes is how many locks there are. Untuned: two of fifty connections meet at one
// once in a hundred commands.
const stripes = 1024

type stripe struct {
	mu sync.Mutex
	_  [56]byte
}

// A Store keeps items. All of its methods may be called at the same time. Those that
// take a buffer use it for values and leave it larger.
type Store struct {
	cache    Cache
	tooLarge error // the cache's
	maxItem  int
	seed     maphash.Seed

	// cas is the last number given. It publishes nothing: numbers are to differ, and
	// the stripe of a key orders those of one key.
	cas atomic.Uint64

	flush   flush
	stripes [stripes]stripe
}

// NewStore makes a Store on c that refuses items of more than maxItem bytes, by
// [Size]. tooLarge is the error of a Set that can never work.
func NewStore(c Cache, maxItem int, tooLarge error) *Store {
	return &Store{cache: c, maxItem: maxItem, tooLarge: tooLarge, seed: maphash.MakeSeed()}
}

func (s *Store) stripe(key []byte) *sync.Mutex {
	return &s.stripes[maphash.Bytes(s.seed, key)%stripes].mu
}

// nextCAS returns a number that no item had.
func (s *Store) nextCAS() uint64 { return s.cas.Add(1) }

// Fits reports whether an item may be stored.
func (s *Store) Fits(key, data int, flags uint32) bool { return Size(key, data, flags) <= s.maxItem }

// Len returns the number of items, expired ones that are not freed yet included.
func (s *Store) Len() int { return s.cache.Len() }

// Bytes returns the memory in use.
func (s *Store) Bytes() int64 { return s.cache.Bytes() }

// Peek returns the item of key, in place, if there is one. Its data are valid under
// g. The caller passes what it found to Accessed, after it has unlocked g.
func (s *Store) Peek(g rcu.Guard, key []byte, now int64) (Item, bool) {
	v, ok := s.cache.GetKey(g, key)
	if !ok || len(v) < HeaderSize {
		return Item{}, false
	}
	it := decode(v)
	return it, !expired(it.Expiry, now)
}

// Accessed notes that an item was read, at most once a minute. No guard may be held.
func (s *Store) Accessed(key []byte, it Item, now int64) {
	if it.access != accessMark(now) {
		s.accessedSlow(key, now)
	}
}

func (s *Store) accessedSlow(key []byte, now int64) {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	s.markLocked(key, now)
}

// markAccess notes a read in a value, in place. The caller holds the stripe of its
// key, or has the only reference. The race detector does not see it, as accessOf says.
//
//go:norace
func markAccess(v []byte, now int64) {
	v[accessField] = accessMark(now)
	for i, b := range [4]byte{byte(now), byte(now >> 8), byte(now >> 16), byte(now >> 24)} {
		v[timeField+i] = b
	}
}

func (s *Store) markLocked(key []byte, now int64) {
	g := rcu.ReadLock()
	defer g.Unlock()
	if v, ok := s.cache.GetKey(g, key); ok && len(v) >= HeaderSize {
		markAccess(v, now)
	}
}

// copyLocked copies the value of key to buf, which grows while no guard is held.
// The caller holds the key's stripe, so nobody else sets the key.
func (s *Store) copyLocked(key []byte, buf *[]byte, now int64) (v []byte, it Item, ok bool) {
	for {
		g := rcu.ReadLock()
		old, _ := s.cache.GetKey(g, key)
		if len(old) <= cap(*buf) {
			*buf = append((*buf)[:0], old...)
			g.Unlock()
			break
		}
		need := len(old)
		g.Unlock()
		*buf = make([]byte, 0, need+need/8)
	}
	v = *buf
	if len(v) < HeaderSize {
		return v, Item{}, false
	}
	it = decode(v)
	return v, it, !expired(it.Expiry, now)
}

// findLocked returns what copyLocked does, without the data.
func (s *Store) findLocked(key []byte, now int64) (Item, bool) {
	g := rcu.ReadLock()
	defer g.Unlock()
	it, ok := s.Peek(g, key, now)
	it.Data = nil
	return it, ok
}

// setLocked stores v, whose header is complete.
func (s *Store) setLocked(key, v []byte, now int64) Result {
	expiry := binary.LittleEndian.Uint32(v[expiryField:])
	if expired(expiry, now) {
		s.cache.Delete(keyString(key))
		return Stored
	}
	var ttl time.Duration
	if expiry != 0 {
		ttl = max(time.Until(time.Unix(int64(expiry), 0)), 1)
	}
	err := s.cache.SetTTL(keyString(key), v, ttl)
	switch {
	case err == nil:
		return Stored
	case s.tooLarge != nil && errors.Is(err, s.tooLarge):
		s.cache.Delete(keyString(key))
		return TooLarge
	}
	s.cache.Delete(keyString(key)) // rather no value than an old one
	return NoMemory
}

// Delete removes an item, and reports whether there was one.
func (s *Store) Delete(key []byte, now int64) bool {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	_, ok := s.findLocked(key, now)
	return s.cache.Delete(keyString(key)) && ok
}
