package sys

import (
	"bytes"
	"runtime"
	"strconv"
	"sync"
	"unsafe"
)

// goidAt is the offset of the goroutine's number in its descriptor, 0 if that is
// not known. Written once, by FindGoid.
var goidAt uintptr

var goidOnce sync.Once

// FindGoid finds the offset that Goid reads. Without it Goid still works but takes
// about a microsecond.
//
// Context: task; not pinned.
func FindGoid() { goidOnce.Do(func() { goidAt = findGoid() }) }

// Goid returns the number by which Go's own traces name the running goroutine.
//
// Context: any.
//
//go:norace
func Goid() uint64 {
	if goidAt == 0 {
		return goidFromTrace()
	}
	return *(*uint64)(unsafe.Add(gPointer(), goidAt))
}

// goidSearch is how much of a descriptor is searched: less than in any version of
// Go, and the number is among the first words.
const goidSearch = 256

// findGoid compares the words of a few goroutines' descriptors with the number
// in their traces, until one place is left. On a version of Go that this was not
// proved on it does not search; see goversion.go.
func findGoid() uintptr {
	if careful {
		return 0
	}
	var good [goidSearch / 8]bool
	for i := range good {
		good[i] = true
	}
	for range 16 {
		done := make(chan struct{})
		go func() {
			defer close(done)
			looksLikeGoid(&good)
		}()
		<-done
	}
	at := uintptr(0)
	for i, ok := range good {
		if ok && at != 0 {
			return 0
		}
		if ok {
			at = uintptr(i) * 8
		}
	}
	return at
}

//go:norace
func looksLikeGoid(good *[goidSearch / 8]bool) {
	id, g := goidFromTrace(), gPointer()
	for i := range good {
		good[i] = good[i] && *(*uint64)(unsafe.Add(g, i*8)) == id
	}
}

// gPointer is G as a pointer. The descriptor of a running goroutine is not
// freed.
func gPointer() unsafe.Pointer {
	g := G()
	return *(*unsafe.Pointer)(unsafe.Pointer(&g))
}

func goidFromTrace() uint64 {
	var buf [64]byte
	b := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	n, _, _ := bytes.Cut(b, []byte(" "))
	id, _ := strconv.ParseUint(string(n), 10, 64)
	return id
}
