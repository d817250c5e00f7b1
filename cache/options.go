package cache

import (
	"fmt"
	"log/slog"
	"time"

	"quiesce/page"
)

// Options describes a cache. MaxBytes or MaxEntries has to be set, or Allocator.
type Options[K comparable, V any] struct {
	// Name is the cache's name in errors and statistics. "" means "cache".
	Name string
	// MaxBytes is the most memory that the cache takes, in bytes: entries, hash
	// table, free space in between, and what waits for readers to leave it. It is
	// at least 256 KiB and at most 64 GiB. 0 means that MaxEntries or the Allocator
	// alone bounds the cache. With 64 MiB or more the cache is split into shards, by the
	// number of processors (GOMAXPROCS) that there is when it is made.
	MaxBytes int64
	// MaxEntries is the most entries that the cache has. 0 means that memory alone
	// bounds it.
	MaxEntries int
	// TTL is how long an entry lives that Set stores. 0 means until it is evicted.
	TTL time.Duration
	// Allocator is where the memory comes from. nil means an allocator of the
	// cache's own, with MaxBytes for its limit. Caches that share one take from each
	// other: when its limit is near, each is asked for its part.
	Allocator *page.Allocator
	// ZeroOnFree overwrites the memory of entries that have left the cache with
	// zeros before it is used again.
	ZeroOnFree bool
	// OnEvict is called for each entry that leaves the cache, except by Close, with
	// copies. It is called by the goroutine that caused it, or, for entries that
	// expire, by one of the package's, after the fact: a newer entry of the key may
	// be there by then. It may use the cache, but not close it: Close panics there.
	OnEvict func(K, V, Reason)
	// Now is the clock that times to live go by. nil means the system's monotonic
	// clock.
	Now func() time.Time
	// Logger gets reports of trouble. nil means slog.Default.
	Logger *slog.Logger
}

const (
	leastBytes = 256 << 10
	mostBytes  = 64 << 30
)

func (o *Options[K, V]) check() error {
	if o.Name == "" {
		o.Name = "cache"
	}
	switch {
	case o.MaxBytes == 0 && o.MaxEntries == 0 && o.Allocator == nil:
		return fmt.Errorf("cache: %s: one of MaxBytes, MaxEntries and Allocator must be set", o.Name)
	case o.MaxBytes != 0 && (o.MaxBytes < leastBytes || o.MaxBytes > mostBytes):
		return fmt.Errorf("cache: %s: MaxBytes is %d, want %d to %d", o.Name, o.MaxBytes, leastBytes, int64(mostBytes))
	case o.MaxEntries < 0 || o.MaxEntries > 1<<30:
		return fmt.Errorf("cache: %s: MaxEntries is %d, want 0 to %d", o.Name, o.MaxEntries, 1<<30)
	case o.TTL < 0:
		return fmt.Errorf("cache: %s: TTL is negative: %v", o.Name, o.TTL)
	}
	return nil
}
