// Package fastcache has the functions of github.com/VictoriaMetrics/fastcache on a
// [cache.Bytes]: a program changes one import to use it.
//
//	import "quiesce/contrib/fastcache" // was github.com/VictoriaMetrics/fastcache
//
//	c := fastcache.New(512 << 20)
//	c.Set(key, value)
//	value = c.Get(value[:0], key)
//
// What it gains: maxBytes bounds all the memory (fastcache's index comes on top of it,
// on the Go heap), what is asked for often stays (fastcache drops what is oldest), and
// readers take no lock.
//
// What differs:
//
//   - A Set of what is too large, 64 KiB with the key, stores nothing, as in fastcache,
//     but removes the key's old value, where fastcache keeps that.
//   - Get, HasGet and Has see what Set stored, GetBig what SetBig stored. In fastcache
//     both have the keys in common, and Get returns 16 bytes of an index for a key of
//     SetBig. Has and Del are for both.
//   - A value of SetBig of less than 1 MiB is one entry, a larger one several. Stats
//     count entries, and look-ups of entries.
//   - SaveToFile writes one file, with a checksum, where fastcache makes a directory. If
//     a directory of fastcache's has that name, it is replaced. LoadFromFile does not
//     read those of fastcache.
//   - A cache has at most 64 GiB.
//   - A key that is hashed to the value of another's does not take its place, so there
//     are no collisions to count.
package fastcache
