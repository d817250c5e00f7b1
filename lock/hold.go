package lock

import (
	"quiesce/internal/holds"
	"quiesce/internal/sys"
)

// Hooks of builds with -tags holds, which measure how long a lock is held: begin
// is called right after an acquisition, end right before the release. A Local and
// an RW are not measured; the library has none.

//go:norace
func (l *Raw) begin() { l.hold.Begin(holds.Spins, l.dep.Name(), sys.G()) }

//go:norace
func (l *Raw) end() { l.hold.End(sys.G()) }

// With preempt_rt=1. Otherwise the Spin is a Raw.
func (l *Spin) begin() { l.raw.hold.Begin(holds.Sleeps, l.raw.dep.Name(), sys.G()) }

func (l *Spin) end() { l.raw.hold.End(sys.G()) }

func (l *Mutex) begin() { l.hold.Begin(holds.Mutex, l.dep.Name(), sys.G()) }

func (l *Mutex) end() { l.hold.End(sys.G()) }
