//go:build poison || asan

package rcuhash

import "sync/atomic"

// ref is wide in these builds, because guarded objects lie outside of the
// allocator's range.
type ref = uint64

const slots = 5

// wholesale: poison has an account of each object.
const wholesale = false

// wideBuckets: so that each entry is an object.
const wideBuckets = false

func loadRef(r *ref) ref { return atomic.LoadUint64(r) } // ord:entry,overflow
