package sys

import (
	"runtime"
	"runtime/debug"
	"sync"
	"unsafe"
)

// LeavesWork reports whether the leaves of this build find the number of their
// P. Where they do not, whatever the reason, their packages take the pinned path.
//
// Context: task; not pinned.
func LeavesWork() bool { return leavesWork() }

var leavesWork = sync.OnceValue(func() bool {
	return Leaves && offsets{g2m: OffsetM, m2p: OffsetP, p2id: OffsetID, m2g: offsetCurG, p2m: offsetPM}.right(leafP)
})

// offsets is the way of the leaves, and the way back.
type offsets struct{ g2m, m2p, p2id, m2g, p2m uintptr }

// right checks the offsets on some goroutines: the descriptors point to one
// another, and number returns the number of a P that the goroutine was pinned to.
func (o offsets) right(number func() int32) bool {
	n := min(2*runtime.GOMAXPROCS(0), 16)
	right := make(chan bool, n)
	for range n {
		go func() {
			ok := false
			defer func() {
				_ = recover() // offsets that fault are wrong too
				right <- ok
			}()
			debug.SetPanicOnFault(true)
			for range 4 {
				// A goroutine that changes threads while it looks is right the next time.
				for try := 0; !o.lead(number); try++ {
					if try == 8 {
						return
					}
				}
				runtime.Gosched()
			}
			ok = true
		}()
	}
	all := true
	for range n {
		all = <-right && all
	}
	return all
}

// lead looks once. It must not fault while pinned, so it compares afterwards.
//
//go:norace
func (o offsets) lead(number func() int32) bool {
	at := func(p unsafe.Pointer, offset uintptr) unsafe.Pointer {
		return *(*unsafe.Pointer)(unsafe.Add(p, offset))
	}
	g := gPointer()
	m := at(g, o.g2m)
	p := at(m, o.m2p)
	found := at(m, o.m2g) == g && at(p, o.p2m) == m
	first := number()
	id := ProcPin()
	ProcUnpin()
	return found && int(first) == id && int(*(*int32)(unsafe.Add(p, o.p2id))) == id
}
