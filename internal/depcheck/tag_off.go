//go:build !lockdep

package depcheck

// Tagged says whether this is a build with -tags lockdep, which also sees readers,
// pinned sections and allocations that never leave their fast paths.
const Tagged = false

// Section identifies a read-side or pinned section.
type Section struct{}

// Zero reports whether Enter did not make the section.
func (Section) Zero() bool { return false }

// Enter begins a section of a type that is made for sections.
func Enter(*SectionType) Section { return Section{} }

// Exit ends the section and reports whether it was one; name is the call's name in
// a report.
func (Section) Exit(name string) bool { return true }

// Adopt moves the section to the calling goroutine.
func (Section) Adopt() {}

// Open reports whether the section has begun and not ended.
func (Section) Open() bool { return true }

// OldestSection returns the goroutine that is in the read-side section that began
// first, or 0 if none is known, and where the section began.
//
// Context: task; not pinned.
func OldestSection() (goroutine uint64, stack string) { return 0, "" }
