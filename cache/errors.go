package cache

import "errors"

var (
	// ErrTooLarge is the error of a Set whose entry can never fit: key and value
	// take more than 2 MiB, or more than half of MaxBytes.
	ErrTooLarge = errors.New("cache: entry too large")
	// ErrBusy is the error of a Set that found no memory in time, although entries
	// were evicted for it: readers that stay in their sections keep what they may
	// still read. The key's old value, if there was one, is removed.
	ErrBusy = errors.New("cache: no memory before the timeout")
	// ErrClosed is the error of an operation on a closed cache.
	ErrClosed = errors.New("cache: closed")
)

// Reason says why an entry left the cache.
type Reason uint8

const (
	Evicted  Reason = iota // to make room
	Expired                // its time to live was over
	Deleted                // by Delete
	Replaced               // by a Set of the same key
	Cleared                // by Clear
	Dropped                // a Set of the same key found no memory: see ErrBusy
	reasons
)

// String returns the reason in one word.
func (r Reason) String() string {
	if r >= reasons {
		return "unknown"
	}
	return [...]string{"evicted", "expired", "deleted", "replaced", "cleared", "dropped"}[r]
}
