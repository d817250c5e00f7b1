//go:build delay

package fault

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"quiesce/internal/option"
	"quiesce/internal/sys"
)

// Delays reports whether Delay does anything: the build tag delay.
const Delays = true

var (
	share   atomic.Int32 // of a thousand calls
	longest atomic.Int64 // ns
	delayed atomic.Uint64
	at      atomic.Pointer[func(tag string)]
)

func init() { SetDelays(option.Delay("delay")) }

// Delay spins or yields at random, for nanoseconds to a fraction of a
// millisecond. The tag is that of a pair in docs/design/memory-ordering.md.
//
// Context: any.
//
//go:norace
func Delay(tag string) {
	if fn := at.Load(); fn != nil {
		(*fn)(tag)
		return
	}
	r := rand.Uint32()
	if int32(r%1000) >= share.Load() {
		return
	}
	delayed.Add(1)
	// Most are short: the windows are some instructions wide.
	ns := longest.Load() >> (r >> 10 & 7)
	if r>>13&3 == 0 {
		sys.Yield() // lets the thread that would come second come first
	}
	for end := sys.Nanotime() + ns; sys.Nanotime() < end; {
		sys.Pause(10)
	}
}

// SetDelays sets how many in a thousand calls of Delay take time, and for how
// long at most.
func SetDelays(permille int, most time.Duration) {
	share.Store(int32(permille))
	longest.Store(int64(most))
}

// At has Delay call fn in place of taking time; nil ends that. So a test decides
// what happens between two stores. fn runs wherever Delay is called, pinned or
// not, and is called again by what it calls.
func At(fn func(tag string)) {
	if fn == nil {
		at.Store(nil)
		return
	}
	at.Store(&fn)
}

// Delayed returns how many calls took time.
func Delayed() uint64 { return delayed.Load() }
