package pages

import (
	"sync/atomic"

	"quiesce/internal/race"
	"quiesce/internal/sys"
)

// Sections that the library begins for a caller and runs user code in, as a map's
// Range does. An allocation of that code can't wait for memory that a grace
// period brings: it would wait for its own section. A section that the caller
// began is the caller's to know.
//
// An entry is the descriptor of the goroutine in the section, which writes and
// removes it, and is the only one to look for it. When all places are taken a
// section is not noted, and an allocation in it waits until it is refused.
var sections [64]atomic.Uintptr

// probes is how many places there are for a goroutine.
const probes = 8

// Section is the caller's place, or -1 if it has none.
type Section int

// BeginSection notes that the calling goroutine is in a section of the library's,
// until End.
//
//go:norace
func BeginSection() (s Section) {
	race.Disable()
	defer race.Enable()
	g := sys.G()
	for i := range probes {
		at := place(g, i)
		switch sections[at].Load() { // ord:hint
		case g:
			return -1 // an outer section notes it
		case 0:
			if sections[at].CompareAndSwap(0, g) { // ord:hint
				return Section(at)
			}
		}
	}
	return -1
}

// End ends the note.
//
//go:norace
func (s Section) End() {
	race.Disable()
	if s >= 0 {
		sections[s].Store(0) // ord:hint
	}
	race.Enable()
}

// InSection reports whether the calling goroutine is in such a section.
//
//go:norace
func InSection() bool {
	race.Disable()
	defer race.Enable()
	g := sys.G()
	for i := range probes {
		if sections[place(g, i)].Load() == g { // ord:hint
			return true
		}
	}
	return false
}

// place is the i-th place of a goroutine. Descriptors lie some 400 bytes apart.
func place(g uintptr, i int) int { return (int(uint64(g)*0x9E3779B97F4A7C15>>58) + i) % len(sections) }
