package sys

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// LeavesWork reports whether the leaves of this build find the number of their
// P. Where they do not, whatever the reason, their packages take the pinned path.
//
// Context: task; not pinned.
func LeavesWork() bool { return leavesWork() }

var leavesWork = sync.OnceValue(func() bool {
	return Leaves && findsP(func() int { return int(leafP()) })
})

// findsP compares number with the numbers of Ps that some goroutines are pinned to.
// A number that faults is wrong too.
func findsP(number func() int) bool {
	n := 4 * runtime.GOMAXPROCS(0)
	right := make(chan bool, n)
	for i := range n {
		go func() {
			ok := false
			defer func() {
				_ = recover()
				right <- ok
			}()
			debug.SetPanicOnFault(true)
			if i%4 == 3 { // on a thread of its own
				runtime.LockOSThread()
			}
			for range 8 {
				// Not within the pin: a fault must not panic there.
				first := number()
				id := ProcPin()
				ProcUnpin()
				if second := number(); first == second && first != id {
					return
				}
				runtime.Gosched()
			}
			ok = true
		}()
	}
	for range n {
		if !<-right {
			return false
		}
	}
	return true
}
