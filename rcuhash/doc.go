// Package rcuhash has hash maps outside the Go heap. Readers take no lock and
// write nothing that others read; the garbage collector never scans the entries;
// a map grows and shrinks while it is used.
//
//	sessions, err := rcuhash.New[string, Session](0) // no Go pointers in Session
//	…
//	sessions.Put("7f3a", Session{User: 7}) // any goroutine; false: no memory
//
//	rcu.Read(func(g rcu.Guard) {
//		if s := sessions.Get(g, "7f3a"); s != nil {
//			fmt.Println(s.User) // in place: valid and constant in this function
//		}
//	})
//
// A [Map] has values of one type. [Bytes] is the same map with values of any
// length: Get returns a slice of the map's memory. Both may have string keys, of
// which they keep a copy, and GetKey looks one up that the caller has as bytes.
//
// A look-up needs a guard, which proves that the caller is in a read-side
// section. What it returns is dead after Unlock: copy out what you keep. To
// change a value, replace it: by Put, or by Compute if the new value depends on
// the old one. A loop of Get over many keys is faster as one GetBatch, when the
// map is larger than the processor's caches. All walks through the map in the
// caller's section; Range does so in short sections of its own.
//
// The size given to New is a hint: the map begins with room for so many keys,
// grows beyond it, and never shrinks below it. [WithAllocator] bounds a map's
// memory: at the limit Put returns false, and the map is unchanged.
//
// Limits: a key and its value take at most 2 MiB together. Neither holds Go
// pointers, except that a key may be a string. A key that is not equal to itself
// (NaN) is not found, as in a Go map, and walks may miss it.
//
// # Design
//
// A look-up costs two cache misses at any size, one for the bucket and one for the
// node. Keys that are integers of 8 bytes, with values of at most 8, are in the
// bucket itself: one miss. Only a look-up that does not find its key asks whether
// entries moved while it looked.
//
// # Terms
//
// A node holds one key with its value, in one object of a [slab.Heap]. It never
// changes once it can be found. A reference is its place in 32 bits, in units of 16
// bytes. A bucket is one cache line of 11 slots. Each slot has a reference and a
// tag, which is one byte of the hash; a word, meta, has the lock, the bit live,
// what the bucket owns and the version. Entries that find no free slot are in
// further buckets, which are linked: the bucket's chain.
//
// A table has 2n buckets, and the low bits of a hash are the number of one. Bucket
// i+n is the child of bucket i, its parent. A split makes a child live, and a
// merge ends that; while a child is not live, its parent has its entries. The
// cursor is the number of live children: they become live in the order of their
// numbers, and are merged in the opposite order. Buckets lie in blocks, and the
// table has the place of each run of 64, which is a page.
//
// # Looking up
//
// A look-up begins in the bucket whose number the hash has, or in its parent: for
// each run of buckets, begin says in which page, and is a hint. It is the
// parents' until all buckets of the run are live. It loads meta, compares the
// tags, loads the reference of each that matches, and compares the key. A key
// that is found is right, wherever it was. If there is none, the bucket's own meta
// mostly tells that there was none (stayed, in core.go). It has the bit of a hash by
// which the bucket owns entries: of its number's bits the highest, or, while it is not
// split, the one below. The key was absent if the bucket was live and owned its hash,
// meta says the same after the look but for the lock, and the table is still the
// map's. For a split changes the parent's meta before the movers leave it, and a merge
// the child's; a merge changes the parent's, too, so that the same meta means that
// neither has come in between. Otherwise (missed):
//
//	1  find the live bucket of the hash: the child, or else its parent
//	2  load the meta of that bucket, after that of its child
//	3  load the table
//
// The key was absent if the bucket is the one that was searched, its version is the
// one from before the look, and the table is the same. Otherwise look again, in
// the bucket and the table that were found.
//
// Proof. The version did not change between the two loads of meta, and at a time T
// between them the child was not live. A split that made it live before T was
// undone by a merge before T. Both had changed the version by then, so they did so
// before the first load, and before that the merge had put the entries back. So
// from the first load to T no entry left its slot for another one, and a look that
// did not meet the key met its absence. (If the live bucket is the child, its own
// word says the same: live and version are in it.) Step 3 is for a bucket that was
// split by way of the next table, whose children the old one does not have.
//
// The order of steps 1 and 2 matters. With the version loaded before the search, a
// split and a merge within one look-up hide a key: the look misses it because of
// the split, the version is checked before the merge, and the search after the
// merge finds the same bucket. A value that is replaced stays in its slot, and
// changes no version.
//
// # Wide buckets
//
// A wide bucket is two lines of 7 entries: tag, value and key. A reader has a pointer
// to the value in the bucket, so an entry never changes in its place, and its slot is
// not used again before a grace period has ended. A slot is clean, live or dead; a
// dead one keeps the value, and has a cookie in place of the key (wide.go).
//
// The word with the tags has a byte more: eight bits that say which tags the further
// buckets may have (farBit), so that few look-ups that miss have to look there. A bit
// is set before such a node can be found, and cleared after the last one has left.
//
//	insert   store value and key in a clean slot, then the tag
//	replace  insert, change the version, then as in remove
//	remove   swap the tag for that of a dead slot; store the cookie
//
// An entry that finds no clean slot is a node in a further bucket of the chain, which
// is a narrow one, and comes to the first bucket with a later change there. So a
// section that stays costs nodes and not buckets. A split or a merge copies entries to
// clean slots; if there are too few, it waits for a grace period (resizeWhenClean).
//
// A look-up loads the version, the tags, and the keys whose tags match. It has the
// right value if the key is right, because slots wait for its section: a key in a slot
// is followed by a cookie, and by nothing else within the section. No cookie is taken
// for a key, because it has another tag than the key before it. If the look-up meets
// the cookie of a key that was replaced, the version has changed, and it looks again.
// formal/hashslot.pml has all of this.
//
// Builds with -race, poison or asan have no wide buckets: their tools want an object
// for each entry.
//
// # Splitting and merging
//
// An insertion that finds the map crowded splits the next bucket or two, and a
// removal that finds it sparse merges as many. In a raw atomic context they leave
// what may sleep to a goroutine, which ends with it. A map for which there is no
// memory to split works with longer chains. A split holds the locks of both buckets
// (splitLocked):
//
//	1  store the movers, whose hashes have the bit n, in the child as well
//	2  the child is live: look-ups of movers find it
//	3  change the parent's version, and what it owns: look-ups that miss look again
//	4  clear the movers' slots in the parent
//
// Then the keepers that are in further buckets of the chain come to the first one,
// if that has room for all: copy, change the version, unlink the rest of the
// chain (gatherLocked). A merge holds both locks too (mergeLocked):
//
//	1  store the child's entries in the parent as well
//	2  change the parent's version, and what it owns: look-ups that miss look again
//	3  the child is not live, and its version is another one
//	4  clear its slots, and unlink its chain
//
// Step 2 of a merge is for a look-up that began in the parent after the split. It
// may have passed the slots that the merge fills before it filled them.
//
// A reference is in one slot, or every bucket that has it is locked. Without the
// child's lock a writer could delete a mover there before step 4 of the split, and
// pass the node to KfreeRCU. A reader that begins after the grace period did
// would still find the reference in the parent, and the grace period does not wait
// for that reader: a use after free.
//
// # Tables
//
// When all children are live, the next table has twice the buckets: the first half
// are the same memory, and none of the new children is live. When no child is
// live, the next table has half of the buckets, all live. Either way a directory
// is made and stored, and no entry moves. Splits and merges count themselves, in
// the word of the cursor, while they run. That word is frozen before the next
// table is stored, which succeeds only at a count of 0. Otherwise a table of half
// the size could be stored while a child still has entries, which no look-up in
// that table would reach. The blocks that a smaller table lacks are freed a grace
// period later.
//
// The table of a map that begins small has 8 buckets. It leaves them for a table of
// pages in one go (leaveSmall): with all of them locked, it copies the references,
// stores the table, and frees the old buckets a grace period later. They keep what
// is in them. Only sections that began before have the old table. They find their
// keys there, or miss and see that the table has changed.
//
// # Walks
//
// A walk goes through the hashes in bit-reversed order. The hashes of a bucket
// are consecutive in it, a split divides such a range in two, and a merge joins
// two. So one number says which keys were seen, however the map grows or
// shrinks in between. For each bucket the walk collects the nodes of the chain,
// validates them as a look-up that misses does, and shows those whose hashes
// belong to the bucket and lie at or above its position. A node that was in two
// slots, because entries were being moved, is shown once.
//
// # Writers
//
// A writer locks a bucket, and with it the chain, by a bit in meta, pinned and with
// interrupts off. It takes the lock only if the same word says that the bucket owns
// the hash, and looks again whether the table is the current one. It reads at most
// 8 buckets, and stores a few words. Memory is allocated before and freed after
// that. No function of the caller runs under the lock: Compute's runs in a
// read-side section, and its result is stored if the entry is still the node that
// it saw. A split holds two locks while it hashes at most 88 keys.
//
// A chain has at most 8 buckets, so a writer's pinned section is bounded. It
// gets so long only if there is no memory for splits, and then Put is refused.
//
// # Memory
//
// A wide bucket has 4.9 keys on the average: 26 bytes a key, which is all but for
// the few in chains. A node is key and value, and 4 bytes for the length of what
// varies (8 in Bytes, for a string key of 255 bytes or more), in a size class of 16
// bytes to the next. There is a live bucket for every 5 keys: 13 bytes a key. In
// the map of a package cache, where memory is what decides, for every 9: 8 to 9
// bytes with the chains. The further buckets of these have a heap of their own
// there, because nodes can be evicted and buckets can't, and the first bucket takes
// what is in them when others leave (bridge.Remove). An empty map has 512 bytes of
// buckets, one object. From 64 buckets on they are pages, in blocks that are as
// large as what there is, and of 8 pages from 512 buckets on, so that no step of
// growing is long. The directory has 16 bytes for each page, on the Go heap.
//
// A heap costs some KiB, so maps that are made for less than 64 KiB share one
// in each allocator (heap.go). Close of a map with a heap of its own waits for a
// grace period and frees whole slabs, without a look at the entries; that of
// another frees each of its entries.
//
// Keys are counted in one word; from 1024 buckets on in 32, of which the hash
// chooses one, so that writers share none.
//
// # Hashing
//
// Integers are multiplied by a random odd number of the map's own, after an
// exclusive or with another one, and both halves of the 128 bits are mixed.
// Everything else has [hash/maphash] with a seed of the map's own. Keys that
// collide in one map do not in another, and can't be chosen without knowing its
// seeds.
//
// # Guarantees
//
// (H-A) Get finds a key that is in the map during the whole call, and a walk sees
// one that is in it during the whole walk exactly once, whether the map grows or
// shrinks. (H-B) Neither finds a key that was not in the map at any time during
// the call. (H-C) The value does not change, and stays readable, until the guard
// is unlocked. (H-D) Put of a key that is in the map replaces it: every reader
// finds the old or the new value, never neither. (H-E) Operations are linearizable:
// what one changed, every later one sees, in whatever goroutine.
//
// # Lock order
//
//	smallMaps.mu                the heap of small maps, and its end
//	  (slab: Heap.mu, reclaimMu, …)
//	bucket (a bit; a lock.Raw)  a chain
//	  its child                 a split; a merge, which only tries
//
// It is part of the tree in docs/design/lock-order.md. The comments ord:tag name
// pairs of docs/design/memory-ordering.md.
//
// # Other builds
//
// With -tags poison or -asan a reference has 64 bits, because guarded objects
// lie outside the allocator's range, and a bucket 5 slots. With -race all stores
// are atomic (store_other.go), and nodes are memory that the race detector
// watches, as all objects of package slab. In all of these Close frees every
// entry by itself.
package rcuhash
