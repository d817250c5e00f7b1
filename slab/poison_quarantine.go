//go:build poison || asan

package slab

import (
	"quiesce/internal/option"
	"quiesce/lock"
)

// quarantineBytes is what each cache's quarantine holds, in bytes of objects.
var quarantineBytes = option.Bytes("quarantine")

// quarantine keeps freed objects, first in first out, so that they are not
// allocated again at once: what still uses one finds poison for longer. Any
// context. Offset 0 is no object.
type quarantine struct {
	mu   lock.Raw
	max  int      // objects; immutable
	ring []uint32 // protected by mu, as are the next two; a power of two long
	head int      // of the oldest
	n    int
}

func (q *quarantine) init(size uintptr) {
	q.max = int(quarantineBytes / int64(size))
	q.mu.Init("slab.quarantine.mu")
}

// push puts an object in and returns the one that must leave for it, or 0.
func (q *quarantine) push(off uint32) (out uint32) {
	if q.max == 0 {
		return off
	}
	q.mu.LockIRQ()
	if q.n == q.max {
		out = q.first()
	}
	if q.n == len(q.ring) {
		ring := make([]uint32, max(64, 2*len(q.ring)))
		for i := range q.n {
			ring[i] = q.ring[(q.head+i)&(len(q.ring)-1)]
		}
		q.ring, q.head = ring, 0
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = off
	q.n++
	q.mu.UnlockIRQ()
	return out
}

// pop takes the oldest object out; 0: none.
func (q *quarantine) pop() (out uint32) {
	q.mu.LockIRQ()
	if q.n > 0 {
		out = q.first()
	}
	q.mu.UnlockIRQ()
	return out
}

func (q *quarantine) first() uint32 {
	out := q.ring[q.head]
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return out
}

// quarantined returns how many freed objects the quarantine has.
func (c *poison) quarantined() int {
	q := &c.quarantine
	q.mu.LockIRQ()
	defer q.mu.UnlockIRQ()
	return q.n
}
