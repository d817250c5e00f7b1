package compare

import (
	"sync/atomic"

	"quiesce/rcu"
)

// callrcu has rcu.Call free each object. Call keeps its callbacks in arrays,
// but every element points to a closure, which is cold by then: the arrays
// leave one miss for each object.
type callrcu struct {
	zone
	called, done atomic.Uint64
}

func newCallRCU(in *Instance) (engine, error) {
	return &callrcu{zone: zone{in: in}}, nil
}

func (c *callrcu) free(o *Object) {
	c.called.Add(1)
	rcu.Call(func() {
		c.in.cache.Free(o)
		c.done.Add(1)
	})
}

func (c *callrcu) freeRaw(o *Object) { c.free(o) }
func (c *callrcu) barrier()          { rcu.Barrier() }

func (c *callrcu) counts() Counts {
	return Counts{Fallback: c.called.Load(), Reclaimed: c.done.Load()}
}
