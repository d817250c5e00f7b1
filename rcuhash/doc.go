// Package rcuhash is a hash map outside the Go heap. Readers take no lock and
// execute no atomic read-modify-write; the garbage collector never scans the
// entries.
//
// A look-up needs a guard, and returns a pointer into the map instead of a
// copy:
//
//	sessions, err := rcuhash.New[string, Session](1_000_000)
//	…
//	sessions.Put("7f3a", Session{User: 7}) // any goroutine
//
//	rcu.Read(func(g rcu.Guard) {
//		if s := sessions.Get(g, "7f3a"); s != nil {
//			fmt.Println(s.User) // s is valid and constant in this function
//		}
//	})
//
// Copy out what you need after it. To change a value, Put a new one.
// [WithAllocator] bounds the map's memory: at the limit, Put returns false.
//
// # Design
//
// The kernel's dcache does the same with RCU. A bucket is the head of a singly
// linked list of nodes. A node holds its link, its hash, the value and, after
// it, the key (a string's bytes included), in one object of a [slab.Heap]. A
// writer locks one of the stripes of buckets (a [lock.Raw], held with
// interrupts off for the walk of one list and a store or two; no other lock is
// taken under it, see docs/design/lock-order.md), publishes a new node or
// unlinks an old one by one atomic store, unlocks, and passes the old node to
// KfreeRCU in its caller's context. Once a node can be found, only its link
// changes.
//
// What a reader sees: Get follows links that were stored atomically after the
// node they lead to was filled. A node that a reader reached under a guard
// stays intact until the guard is unlocked, because its memory is reused only
// after a grace period that began after the unlinking. An unlinked or replaced
// node keeps its link, so a reader on it still reaches the rest of the list.
//
// The number of buckets is fixed at creation. Lists grow longer when there
// are more keys than the map was made for.
//
// # Guarantees
//
// (H-A) Get finds a key that is in the map during the whole call. (H-B) It
// never finds a key that was not in the map at any time during the call. (H-C)
// The value that it returns does not change, and stays readable, until the
// guard is unlocked. (H-D) Put of a key that is in the map replaces it: every
// reader finds the old or the new value, never neither.
package rcuhash
