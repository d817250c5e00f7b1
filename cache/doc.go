// Package cache has bounded caches outside the Go heap. Their memory has a limit
// that holds, the garbage collector never scans them, and a value is read where it
// lies, without a copy.
//
//	sessions, err := cache.New(cache.Options[string, Session]{ // no Go pointers in Session
//		MaxBytes: 1 << 30,
//		TTL:      time.Hour,
//	})
//	…
//	err = sessions.Set("7f3a", Session{User: 7})
//
//	if s, ok := sessions.Get("7f3a"); ok { // a copy
//		fmt.Println(s.User)
//	}
//	sessions.View("7f3a", func(s *Session) { … }) // in place
//
// [Cache] has values of one type, [Bytes] values of any length. Both may have string
// keys. What is set is there for the next Get; a Set that fails says so. Entries
// leave when there is no room for more, when their time is over, or when they are
// deleted; OnEvict sees each.
//
// A value in place is valid as long as the section in which it was looked up: the
// function passed to View, or until the guard passed to GetGuarded is unlocked. It is
// constant: a Set of the same key makes a new entry. Sections that don't end keep
// the memory of what has left the cache, which counts: then Set waits, and fails with
// [ErrBusy] in the end.
//
// Limits: a key and its value take at most 2 MiB together. Neither holds Go
// pointers, except that a key may be a string. There are no references between
// caches of different processes.
//
// # Design
//
// An entry is a node of a map of package rcuhash, with a header of 16 bytes in front
// of it, the links of the eviction policy, and in front of that, if it has a time to
// live, a timer of 16 more: the deadline, and the links of the wheel. Readers take no
// lock; they find a node, look at the deadline, and copy or show the value.
//
// # Hits
//
// The policy must know what is asked for. A reader notes it in a ring of its P and of
// the key's shard, one word that nobody else writes at the time (ring.go), and whoever
// has the lock of the policy tells it about many at once: a reader whose ring is full,
// if the lock is free, and every Set. If a ring is full and the lock is not free, hits
// are lost.
//
// # Shards
//
// A large cache is split by the hash of the key into shards (shard.go), so that Sets of
// several goroutines rarely wait for each other. The map and the memory are common to
// all; each shard has a policy with an equal part of the limit, a wheel, and a ring of
// each P. There are up to four for each of GOMAXPROCS, and 64, but each has 32 MiB of
// the limit and, if there is MaxEntries, 32,768 of these: a smaller cache has one.
// The number is chosen when the cache is made.
//
// One lock of the shard (shard.mu) protects its policy and its wheel. Every change of
// the map for a key of it is made with it held, so map and policy have the same entries
// of the shard whenever it is free. Nobody holds those of two shards. What is under it
// is short: neither memory nor a function of the user's. Nodes are allocated before,
// and retired after. A Set's order is
//
//	allocate the node, which may wait for memory; fill it in
//	lock the shard; drain; put it in the map; tell the policy and the wheel
//	the policy's victims leave the map; unlock
//	retire the victims and the old value; call OnEvict
//
// # Memory
//
// A cache that is not given an allocator has one of its own, whose limit is MaxBytes
// and holds. It is a [page.Reclaimer]: a little before there is no memory the
// allocator asks for some, and the policies' capacities fall. They rise by a part of
// what is stored as long as that does not happen (room.go). A shard gives in proportion
// to what it holds. So the cache follows
// whatever the sizes make of the memory, and a Set rarely waits. When sizes change,
// what stays of the old ones keeps whole slabs; then the entries of the sparsest
// slabs leave first. What was evicted is free after a grace period. While readers hold
// that up a cache gives a sixteenth of its entries and no more: Sets fail, and what
// the program has in the cache stays.
//
// A policy (internal/tinylfu) counts requests in pages of the allocator, which come
// and go with the entries: 8 bytes for each, or a 54th of their mean size, but 2, where
// that is less. For the trials of its window it has up to 64 KiB on the Go heap: 4 MiB, if
// there are 64 shards.
//
// Of an entry of 121 bytes the rest of the 163 that it takes is: header 16, lengths 4,
// rounding 3, the table 8 to 9, the sketch 2.7, metadata of pages 5, free space 2.
//
// # Time
//
// A Get compares the deadline with the clock, so what has expired is never returned.
// Its memory is freed within a second: each shard has a timing wheel (wheel.go), and
// all of them one alarm, which is set as long as any entry has a deadline.
//
// # The guest
//
// The policy may refuse a large entry, because many others would have to leave for it
// that are asked for more often. It is still in the cache, in a place of its
// own, until the next entry of the shard is stored; if it is asked for before, the
// policy has to look at it again.
//
// # Guarantees
//
// (C-A) After a Set that returned nil, Get finds the value, until the entry has left
// for one of the reasons that Stats counts. (C-B) Memory stays below MaxBytes at any
// time. (C-C) Get, View and GetGuarded never return a value after its deadline, and
// never one that was not set under that key. (C-D) A value in place does not change
// and stays readable until its section ends. (C-E) Every entry that was stored is
// there, or is counted under exactly one reason, and OnEvict was called for it once.
// (C-F) Get of structs, View, AppendTo into a slice with room, and Set allocate
// nothing on the Go heap, once the policy has its tables.
//
// # Lock order
//
//	cache.flights.mu  loads under way
//	cache.sharing.mu  the caches of an allocator
//	cache.service.mu  the shards with deadlines
//	  cache.mu        a shard's policy and wheel, and all changes of the map for it
//	    rcuhash.bucket, and what package slab takes without waiting
//	cache.late.mu     what was evicted and is not free yet
//
// It is part of the tree in docs/design/lock-order.md. The comments ord:tag name
// pairs of docs/design/memory-ordering.md.
package cache
