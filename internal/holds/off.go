//go:build !holds

package holds

// Enabled reports whether this is a build with the tag holds.
const Enabled = false

// Hold is a lock's part of the measurement. Its holder owns it.
type Hold struct{}

// Begin begins a hold by goroutine g of the lock with the name.
func (*Hold) Begin(k Kind, name string, g uintptr) {}

// End ends the hold.
func (*Hold) End(g uintptr) {}

// Pin begins a pinned section on P id. The caller is pinned.
func Pin(id int, g uintptr) {}

// Unpin ends it.
func Unpin(id int, g uintptr) {}

// WaitBegin begins a wait for a lock that spins.
func WaitBegin() int64 { return 0 }

// WaitEnd ends the wait of goroutine g.
func WaitEnd(begin int64, g uintptr) {}

// Clock says what is measured.
func Clock() string { return "" }

// Start clears all counts and measures from here on.
func Start() {}

// Stop ends what Start began.
func Stop() {}

// Read returns what was measured.
func Read() Data { return Data{} }
