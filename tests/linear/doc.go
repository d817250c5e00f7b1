// Package linear checks that concurrent histories of rcuhash are
// linearizable: that each operation takes effect at one moment between its call
// and its return. Package porcupine does the search.
//
// A history is partitioned by key, and a key's state is its value, or none.
// What is allowed:
//
//	Get            returns the value, or nil if there is none
//	Put            sets the value; one that returned false has no effect at all
//	Delete         returns whether there was a value, and removes it
//	LoadAndDelete  is Delete that returns the value
//	PutIfAbsent    sets the value if there is none, and says so
//	Swap           is Put that returns the value before
//	Compute        sets or removes the value that its function saw last
//	Range          is a Get of every key: seen with its value, or not seen. That
//	               is what the guarantees (H-A) and (H-B) of package rcuhash come to
//
// There are few keys, so that many operations meet at one. In some histories a
// goroutine puts and deletes other keys, so that the map grows and shrinks and
// the keys move from bucket to bucket. Len sums counters and is not linearizable;
// it is not in the histories.
package linear
