package lock

import (
	"fmt"
	"testing"

	"quiesce/lockdep"
)

// Lock and Unlock of a free lock. With lockdep off, on, and with spin locks that
// spin:
//
//	go test ./lock -run '^$' -bench Lock
//	QUIESCE=lockdep=1 go test ./lock -run '^$' -bench Lock
//	QUIESCE=lockdep=1,preempt_rt=0 go test ./lock -run '^$' -bench Lock
func BenchmarkLock(b *testing.B) {
	var (
		raw  Raw
		spin Spin
		mu   Mutex
		rw   RW
	)
	raw.Init("raw")
	spin.Init("spin")
	mu.Init("mutex")
	rw.Init("rw")
	for _, l := range []struct {
		name         string
		lock, unlock func()
	}{
		{"Raw", raw.Lock, raw.Unlock},
		{"Spin", spin.Lock, spin.Unlock},
		{"Mutex", mu.Lock, mu.Unlock},
		{"RW", rw.Lock, rw.Unlock},
		{"RWRead", rw.RLock, rw.RUnlock},
	} {
		b.Run(fmt.Sprintf("%s/lockdep=%v", l.name, lockdep.Enabled()), func(b *testing.B) {
			for b.Loop() {
				l.lock()
				l.unlock()
			}
		})
	}
}
