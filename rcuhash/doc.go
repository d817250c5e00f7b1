// Package rcuhash is a hash map outside the Go heap that is read without
// locks or atomics on shared memory: what the kernel's dcache does with RCU.
//
// # How it works
//
// A bucket is the head of a singly linked list of nodes. A node holds its
// link, its hash, the value and, behind it, the key (a string's bytes
// included), in one object of a slab.Heap. A writer locks one of the stripes
// of buckets (a lock.Raw, held with interrupts off for the walk of one list and a
// store or two, and nothing is taken under it: docs/design/lock-order.md),
// publishes a new node or unlinks an old one by one atomic store, unlocks, and
// gives the old node to KfreeRCU in its caller's context. Nodes are never
// changed once they can be found, but for their link.
//
// What a reader sees: Get under a guard follows links that are stored
// atomically after the node they lead to was filled. A node that it reached
// stays whole until the guard is unlocked, because the node's memory comes
// back only after a grace period that began after the unlinking. Its link
// still leads on, so a reader on a node that was just unlinked or replaced
// goes on to the rest of the list.
//
// (A) Get finds a key that was there during the whole call. (B) It never
// finds a key that was not there at any time of the call. (C) The value that
// it returns does not change, and stays readable, until the guard is unlocked.
// (D) Put of a key that is there replaces it: every reader finds the old or
// the new value, never neither.
//
// The number of buckets is fixed at creation. Lists grow longer when there
// are more keys than the map was made for.
package rcuhash
