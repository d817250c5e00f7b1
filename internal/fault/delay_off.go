//go:build !delay

package fault

import "time"

// Delays reports whether Delay does anything: the build tag delay.
const Delays = false

// Delay dawdles at random, for nanoseconds to a fraction of a millisecond. The
// tag is that of a pair in docs/design/memory-ordering.md. Any context.
func Delay(tag string) {}

// SetDelays sets how many in a thousand calls of Delay dawdle, and for how
// long at most.
func SetDelays(permille int, most time.Duration) {}

// Delayed counts the calls that did.
func Delayed() uint64 { return 0 }
