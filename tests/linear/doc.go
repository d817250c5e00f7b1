// Package linear checks that concurrent histories of rcuhash are
// linearizable: that each Get, Put and Delete takes effect at one moment
// between its call and its return. Package porcupine does the search.
//
// A history is partitioned by key, and a key's state is its value, or none.
// What is allowed:
//
//	Get      returns the value, or nil if there is none
//	Put      sets the value; one that returned false has no effect at all
//	Delete   returns whether there was a value, and removes it
//	Range    is a Get of every key: seen with its value, or not seen. That is
//	         what the guarantees (H-A) and (H-B) of package rcuhash come to,
//	         because nodes are never moved.
//
// All keys are in one list of one bucket, where a reader on a node that is removed
// could be led astray. Len sums stripes and is not linearizable; it is not in the
// histories.
package linear
