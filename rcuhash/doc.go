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
// and never shrinks below it. [WithAllocator] bounds a map's memory: at the
// limit Put returns false, and the map is unchanged.
//
// Limits: key and value take at most 2 MiB together; keys and values hold no Go
// pointers, but for string keys; a key that is not equal to itself (NaN) is not
// found, as in a map of Go's, and walks may miss it.
//
// # Design
//
// A look-up that hits costs two cache misses at any size: one bucket, one node.
// Only one that misses asks whether entries moved while it looked.
//
// # Terms
//
// A node holds one key with its value, in one object of a [slab.Heap] of the map's
// own. It never changes once it can be found. A reference is its place in 32
// bits, in units of 16 bytes. A bucket is one cache line: for each of its 11
// slots a reference and a tag, which is one byte of the hash, and one word,
// meta, for the lock, the bit live and the version. What finds no free slot is
// in further buckets, which are linked: the bucket's chain.
//
// A table has 2n buckets, and the low bits of a hash are the number of one. Bucket
// i+n is the child of bucket i, its parent. A child is live from when its parent
// was split until it is merged again; while it is not, the parent has its
// entries. The cursor is the number of live children: children are made in
// order, and unmade in the opposite order. Buckets lie in blocks, and the table
// has the place of each run of 64.
//
// # Looking up
//
// Begin in the bucket that the hash says, or in its parent if the child is
// probably not live (first, which is a hint). Compare the tags, eight at a time;
// for each that matches load the reference, and compare the key. A key that is
// found is right, wherever that was. If it is not found (missed, in core.go):
//
//	1  search the live bucket of the hash, from the child down to the parents
//	2  load that bucket's meta, last
//	3  load the table
//
// It was absent if the bucket is the one that was searched, the version is the one
// from before the look, and the table is the same; otherwise look again there.
// Proof: let the child be found not live, at time T of step 1. No split or merge
// of the bucket changed the version between the two loads of meta. A split
// that ended before T was followed by a merge that ended before T, because the
// child is not live at T, and both changed the version before that. So they did
// so before the first load, and before the merge did, all entries were back. No
// entry has left its slot for another one since: the look met the key in its
// slot, unless it was absent at some time.
//
// Meta comes last for a split and a merge within one look-up: searched in the
// opposite order, the version is that of after the split, and the bucket that
// of after the merge. A key that is replaced stays in its slot.
//
// # Splitting and merging
//
// An insertion that finds the map crowded splits the next bucket or two, and a
// removal that finds it sparse merges as many: the writers do the work, and
// without writers nobody does. A split holds the locks of both (splitLocked):
//
//	1  store the movers, whose hashes have the bit n, in the child as well
//	2  the child is live: look-ups of movers find it
//	3  change the parent's version: look-ups that miss look again
//	4  clear the movers' slots in the parent
//
// Keepers in the chain then come to the first bucket, if that has room for all,
// by the same steps: copy, change the version, unlink the rest of the chain. A
// merge (mergeLocked):
//
//	1  store the child's entries in the parent as well
//	2  change the parent's version: those that began there before the split, and
//	   found it without the movers, look again
//	3  the child is not live, and has another version
//	4  clear its slots, and unlink its chain
//
// Step 2 of the merge is for a look-up that saw the first slots before the merge
// and the others after it.
//
// A reference is in one place, or all buckets that have it are locked. If the
// child were not locked in step 4 of a split, a writer could delete a mover
// there and pass the node to KfreeRCU. A reader that begins after that grace
// period did finds the reference in the parent, and the grace period does not
// wait for it: a use after free.
//
// # Tables
//
// When all children are live, the next table has twice the buckets: the first
// half are the same memory, and none of the new children is live. When no child
// is live, the table before it has half of them. Either way only a directory is
// made and stored, and no entry moves. A split or a merge counts itself in the
// cursor's word before it begins and after it has ended, and the word can be
// frozen, for the next table, only at a count of 0. Otherwise that could be
// published while a child has entries that no look-up in it can reach. The blocks
// that a smaller table lacks are freed a grace period later.
//
// A map that begins small has a table of 8 buckets in one object of 512 bytes. It
// leaves that for a table of pages in one go (leaveSmall): with all buckets
// locked, it copies the references of at most some dozens of entries, stores the
// table, and frees the old buckets a grace period later. Sections that have the
// old table began before, and still find their keys there, or look again because
// the table changed. From there on blocks come one to 8 pages at a time, so that
// no step of growing is long.
//
// # Walks
//
// A walk goes through the hashes in bit-reversed order. The hashes of a bucket
// are consecutive in it, a split divides such a range in two, and a merge joins
// two. So one number says which keys were seen, however the map grows or
// shrinks in between. For each bucket the walk collects the nodes of the chain,
// validates them as a look-up that misses does, and shows those whose hashes
// belong to the bucket and lie at or above its position. A node that is in two
// slots, because entries are being moved, is shown once.
//
// # Writers
//
// A writer locks one bucket, which means its chain, by a bit in meta, pinned and
// with interrupts off. Having the lock, it looks again whether the bucket is live
// and the table is the current one. It reads at most 8 buckets, and stores one
// or two words. Memory is allocated before that and freed after it, and
// functions of the caller run under no lock: Compute's runs in a read-side
// section, and its result is stored if the entry is still the node that it saw.
// A split or a merge holds two locks while it hashes at most 88 keys.
//
// A chain has at most 8 buckets. It gets that far only if there is no memory
// to split, and then Put is refused.
//
// # Memory
//
// Nodes have no header: Map with string keys adds 4 bytes, Bytes 4 (8 for a
// string key of 255 bytes or more). A node takes the next size class of its
// heap, a multiple of 16. Buckets are split at 6 keys for each live one on
// average, so a key has about 11 bytes of buckets then. A grown map has two
// counters, keys and bytes, in each of 32 lines.
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
// finds the old or the new value, never neither.
//
// # Lock order
//
//	bucket (a bit; lock.Raw to lockdep)   a chain
//	  its child's                         splits; merges, by trying
//
// It is part of the tree in docs/design/lock-order.md. The comments ord:tag name
// pairs of docs/design/memory-ordering.md.
//
// # Other builds
//
// With -tags poison or -asan a reference has 64 bits, because guarded objects
// lie outside the allocator's range, and a bucket 5 slots. With -race all stores
// are atomic (store_other.go), and nodes are memory that the race detector
// watches, as all objects of package slab.
package rcuhash
