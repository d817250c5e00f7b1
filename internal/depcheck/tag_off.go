//go:build !lockdep

package depcheck

// Tagged says whether this is a build with -tags lockdep, which sees readers,
// pinned sections and allocations that never leave their fast paths too.
const Tagged = false

// Section names one read-side or pinned section.
type Section struct{}

// Enter begins a section of a type that is made for sections.
func Enter(*SectionType) Section { return Section{} }

// Exit ends the section; name is the call's, for a report. It returns false
// where there was nothing to end.
func (Section) Exit(name string) bool { return true }

// Adopt makes this goroutine the one that is in the section.
func (Section) Adopt() {}

// Open reports whether the section has begun and not ended.
func (Section) Open() bool { return true }

// OldestSection says which goroutine is in the read-side section that began
// first, and where that was; 0: none is known. Unpinned.
func OldestSection() (goroutine uint64, stack string) { return 0, "" }
