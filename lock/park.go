package lock

import (
	"sync"

	"quiesce/internal/sys"
	"quiesce/preempt"
)

// park takes a mutex, with lockdep on. If the goroutine is pinned, which lockdep
// has reported by now, park keeps trying instead, because parking would end the
// process. It reports whether the mutex was not free.
func park(mu *sync.Mutex) (waited bool) {
	switch {
	case mu.TryLock():
		return false
	case preempt.Atomic():
		lockPinned(mu)
	default:
		mu.Lock()
	}
	return true
}

// patience is how long a pinned goroutine tries to take a sleeping lock. It is
// bounded because the holder may be waiting for this very P.
const patience = 3_000_000_000 // ns

func lockPinned(mu *sync.Mutex) {
	for end := sys.Nanotime() + patience; !mu.TryLock(); {
		if sys.Nanotime() > end {
			mu.Lock()
			return
		}
		sys.Pause(20)
		sys.Yield()
	}
}
