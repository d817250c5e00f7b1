// Package item keeps memcached's items in a byte cache: what their bytes hold, and
// the commands that read an item and write it back.
//
// # Terms
//
// An item is a key, the client's flags, a number for compare-and-swap (its CAS), an
// expiry time and data. All of it but the key is a value of the cache: a header of
// [HeaderSize] bytes, and the data.
//
// A stripe is a lock for the keys with some hash.
//
// # Design
//
// A read ([Store.Peek]) takes no lock. It finds the value under an rcu.Guard, and
// the value does not change while the guard is held.
//
// Everything that changes an item holds the stripe of its key: it reads the old
// value, makes a new one in the caller's buffer, and sets it. So two changes of one
// key never overlap, and add, cas, incr and their kin are atomic. The cache may
// evict the key at any moment; a command that has read the old value then stores
// the new one as if the eviction had come a little later.
//
// One part of a value does change in place: when the item was last read (the
// bytes of accessField), which mg's h and l flags ask for. Writers hold the stripe, and
// so does every reader of these bytes, but for one: a read looks at the first of
// them, a single byte, to see whether it has to take the stripe at all. A stale
// byte costs a turn through the stripe, or leaves the time a minute older than it
// is. Setting a new value for this would double the cost of a hit. If the cache
// copies the value elsewhere at that moment, to another node or to a file, the new
// time may be lost, or be wrong; nothing else can be.
//
// A flush holds every stripe and clears the cache. So what was stored before it is
// gone when it returns, and what is stored after it stays.
//
// # Lock order
//
//	flush.mu
//	  stripe.mu      (a flush takes all, in order; all else takes one)
//	    locks of the cache
//
// No guard is held where a stripe is taken.
package item
