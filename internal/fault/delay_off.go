//go:build !delay

package fault

import "time"

// Delays reports whether Delay does anything: the build tag delay.
const Delays = false

// Delay spins or yields at random, for nanoseconds to a fraction of a
// millisecond. The tag is that of a pair in docs/design/memory-ordering.md.
//
// Context: any.
func Delay(tag string) {}

// SetDelays sets how many in a thousand calls of Delay take time, and for how
// long at most.
func SetDelays(permille int, most time.Duration) {}

// Delayed returns how many calls took time.
func Delayed() uint64 { return 0 }
