package sys

import "sync/atomic"

// ExitIsRelease: on amd64 (TSO) a store becomes visible after every earlier
// load of the same thread was satisfied, so the plain store that ends a
// read-side section is a release and a grace period needs no second barrier.
const ExitIsRelease = true

// HasFence says that Fence is a full memory barrier.
const HasFence = true

// Fence makes earlier stores of the caller visible before a later load is satisfied. On
// amd64 a read-modify-write of any word does; this one's is on the caller's stack, where
// no other processor has it.
func Fence() {
	var own atomic.Uint32
	own.Add(0) // ord:fence
}
