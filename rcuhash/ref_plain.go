//go:build !poison && !asan

package rcuhash

import (
	"sync/atomic"

	"quiesce/internal/race"
)

// ref is the place of a node or of a bucket: its distance from the allocator's
// base in units of 16 bytes. 0 is none, because page 0 is never handed out.
type ref = uint32

// slots is how many references a bucket has, so that it is one cache line.
const slots = 11

// wholesale says that Close of a map may free its nodes without touching them. In
// race builds the detector has to see each.
const wholesale = !race.Enabled

// wideBuckets says that small entries may be in the buckets. In race builds the
// detector has to see each as an object.
const wideBuckets = !race.Enabled

func loadRef(r *ref) ref { return atomic.LoadUint32(r) } // ord:entry,overflow
