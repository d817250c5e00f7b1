//go:build delay

package fault

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"quiesce/internal/sys"
)

// Delays reports whether Delay does anything: the build tag delay.
const Delays = true

var (
	share   atomic.Int32 // of a thousand calls
	longest atomic.Int64 // ns
	delayed atomic.Uint64
)

func init() {
	n, most := 5, 50*time.Microsecond
	if v, ok := sys.Option("delay"); ok {
		a, b, _ := strings.Cut(v, ":")
		var err1, err2 error
		n, err1 = strconv.Atoi(a)
		if b != "" {
			most, err2 = time.ParseDuration(b)
		}
		if err1 != nil || err2 != nil || n < 0 || n > 1000 || most < 0 {
			panic("quiesce: bad option QUIESCE=delay=" + v + ": want permille[:duration]")
		}
	}
	SetDelays(n, most)
}

// Delay dawdles at random, for nanoseconds to a fraction of a millisecond. The
// tag is that of a pair in docs/design/memory-ordering.md. Any context.
//
//go:norace
func Delay(tag string) {
	r := rand.Uint32()
	if int32(r%1000) >= share.Load() {
		return
	}
	delayed.Add(1)
	// Most are short: the windows are some instructions wide.
	ns := longest.Load() >> (r >> 10 & 7)
	if r>>13&3 == 0 {
		sys.Yield() // the thread that would come second comes first
	}
	for end := sys.Nanotime() + ns; sys.Nanotime() < end; {
		sys.Pause(10)
	}
}

// SetDelays sets how many in a thousand calls of Delay dawdle, and for how
// long at most.
func SetDelays(permille int, most time.Duration) {
	share.Store(int32(permille))
	longest.Store(int64(most))
}

// Delayed counts the calls that did.
func Delayed() uint64 { return delayed.Load() }
