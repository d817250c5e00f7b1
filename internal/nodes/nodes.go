// Package nodes is how package cache sees the nodes of a map of package rcuhash,
// which has them for itself otherwise: it keeps its own data in front of each, and
// knows a node by its place rather than by its key.
//
// Package rcuhash provides what is declared here when it is initialized.
package nodes

import "unsafe"

// Index is a map. Pointers to keys are *K of the map's K, and are not kept. Flags
// are gfp.Flags.
//
// The methods that change the map are for one goroutine at a time for each hash: the
// caller holds a lock of its own, which may be that of some hashes. Look-ups, and what
// allocates and frees, are not.
type Index interface {
	// Hash returns the hash of a key, and Find the node of a key, or nil. For Find
	// the caller is in a read-side section. If it holds its lock for the hash, the node
	// that Find returned stays until it is released.
	Hash(k unsafe.Pointer) uint64
	Find(k unsafe.Pointer) unsafe.Pointer

	// New returns a node of a key, with head bytes in front of it, and with room for
	// a value of vlen bytes if the map has values of any length, or nil. What is in
	// front of it is not set, nor is the value: before any other call for the node
	// Head.Of has to work. TooLarge reports whether there can never be one.
	New(k unsafe.Pointer, vlen, head int, flags uint32) unsafe.Pointer
	TooLarge(k unsafe.Pointer, vlen int) bool
	// Size returns the size of a node, with what is in front of it.
	Size(n unsafe.Pointer) int
	// ValueAt is where the value is in a node of a Map.
	ValueAt() uintptr
	// Value is where the value is in a node of a Bytes, and its length.
	Value(n unsafe.Pointer) (v unsafe.Pointer, vlen int)
	// KeyOf stores the key of a node to a *K; a string is copied.
	KeyOf(n, k unsafe.Pointer)

	// Install makes n the node of its key k, whose hash is h: in place of another,
	// which it returns and which the caller retires, or as a new one. If absent is
	// set, and there is another, it does nothing but return that. It never waits and
	// takes no lock that may sleep. ok is false if there is no room; then MakeRoom may help.
	Install(h uint64, k, n unsafe.Pointer, absent bool) (old unsafe.Pointer, stored, ok bool)
	// Holds reports whether n is a node of the map, in the bucket of the hashes that end
	// in these 32 bits. It does not read at n. The caller is in a read-side section, in
	// which n may then be read. If n is of this hash, and the caller holds its lock for
	// that, the answer is exact. Otherwise n may have left in the section.
	Holds(hash uint32, n unsafe.Pointer) bool
	// Remove takes out the node n, and reports whether it was there. The caller
	// retires it.
	Remove(hash uint32, n unsafe.Pointer) bool
	// Free frees a node that was never installed, Retire one that was taken out,
	// after a grace period.
	Free(n unsafe.Pointer)
	Retire(n unsafe.Pointer)

	// Grow lets the map follow the number of its keys, after Install or Remove. It
	// may take locks that sleep, and reports whether the map is as large as it
	// should be. MakeRoom splits a bucket or waits for memory, both, for which a split
	// waits too, if again says that the last was of no use. It reports whether it is
	// worthwhile to try Install again. Context: task; not pinned, no locks held.
	Grow() bool
	MakeRoom(again bool) bool
	// Len is the number of nodes, and Memory what the map has of its allocator, in
	// bytes.
	// NodeBytes is the part of that which nodes take.
	Len() int
	Memory() int64
	NodeBytes() int64
	// Heap is the *slab.Heap of the nodes. Barrier waits until what was retired is
	// free, and gives free slabs back.
	Heap() any
	Barrier()
	// Walk shows all nodes to fn, in read-side sections of its own, and calls after at
	// the end of each, outside of it, until that returns false.
	Walk(fn func(n unsafe.Pointer), after func() bool)
}

// Of returns the Index of a *rcuhash.Map or *rcuhash.Bytes.
var Of func(m any) Index

// Head says what is in front of the nodes of a map: a multiple of 16 bytes, from
// Least to Most. Of returns how many a node has.
type Head struct {
	Least, Most int
	Of          func(n unsafe.Pointer) int
}

// WithHead returns an rcuhash.Option for a map that has a heap of its own, a dense
// table, and such nodes.
var WithHead func(h Head) any
