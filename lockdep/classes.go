package lockdep

import (
	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Class is a lock class that was seen since the last Reset.
type Class struct {
	Name  string // as in reports and in Order
	Type  string // lock.Raw, lock.Spin, ...
	Outer WaitType
	Inner WaitType
}

// Classes returns the classes, the first ones first; those of sections are
// among them. Unpinned. The kernel's /proc/lockdep.
//
//go:norace
func Classes() (classes []Class) {
	if !Enabled() {
		return nil
	}
	race.Disable()
	sys.ProcPin()
	t := &tables
	t.graph.lock()
	for i := 1; i < t.nclasses; i++ {
		c := &t.classes[i]
		classes = append(classes, Class{c.title(), c.ty.Name, c.ty.outer(), c.ty.Inner})
	}
	t.graph.unlock()
	sys.ProcUnpin()
	race.Enable()
	return classes
}
