package compare

import (
	"quiesce/gfp"
	"quiesce/internal/pages"
)

// zone is the source of arrays that is the page allocator itself, asked with
// the same flags whatever the context.
type zone struct {
	in    *Instance
	flags gfp.Flags
}

func (z zone) get() *array { return (*array)(z.in.pages.Alloc(0, z.flags)) }

func (z zone) put(a *array)    { freePage(z.in, a) }
func (z zone) hurry()          {}
func (z zone) wakeups() uint64 { return 0 }
func (z zone) close() error    { return nil }

func (z zone) contend(fn func()) {
	zone := pages.CoreOf(z.in.pages)
	zone.LockZone()
	fn()
	zone.UnlockZone()
}

// newArray is the first version of the arrays (December 2019): GFP_NOWAIT never
// waits for memory, but it takes the zone's lock once this P's list is empty.
// In a raw atomic context with preempt_rt=1 that is the end of the process if
// the lock is held elsewhere.
func newArray(in *Instance) (engine, error) {
	return newBatcher(in, zone{in, gfp.NoWait | gfp.NoWarn}), nil
}
