package slab

import (
	"fmt"
	"strings"
	"sync/atomic"
	"unsafe"

	"quiesce/internal/report"
)

// What the reports of poison builds and those about guarded objects have in common.

const rule = "==================================================================\n"

var reporter atomic.Pointer[func(string)]

// SetReporter has fn called with every report of a `-tags poison` build, and with
// those about objects that [SampleGuards] watches, until restore is called. Without it
// they are written to standard error. fn must only keep the text: it may be called in
// any context and under the package's locks.
func SetReporter(fn func(report string)) (restore func()) {
	old := reporter.Swap(&fn)             // ord:publish
	return func() { reporter.Store(old) } // ord:publish
}

// writeReport writes a report out. Without a reporter that may be the end of the
// program. The builtin print works while pinned, where os.Stderr does not.
func writeReport(body string) {
	text := rule + body + rule
	if fn := reporter.Load(); fn != nil { // ord:publish
		(*fn)(text)
		return
	}
	print(text)
	first, _, _ := strings.Cut(body, "\n")
	report.Untaken("slab", first)
}

// headline is the first line of a report.
func headline(kind, caller string) string {
	return "BUG: quiesce: " + kind + " in " + caller + "\n"
}

// eventText says who did what.
func eventText(what string, goroutine uint64, stack string) string {
	return fmt.Sprintf("%s by goroutine %d:\n%s", what, goroutine, stack)
}

// What is said of an object that was given to FreeRCU.
const (
	pendingText   = "Its grace period has not ended. Given to FreeRCU"
	reclaimedText = "Its grace period has ended and it was freed. Given to FreeRCU"
	guardedText   = "It is a guarded object: its page is its own.\n"
)

// locatedText says where an address is relative to an object of a cache.
func locatedText(addr, p, size uintptr, state, cache string) string {
	d := int64(addr) - int64(p)
	at := fmt.Sprintf("%d bytes inside of", d)
	switch {
	case d < 0:
		at = fmt.Sprintf("%d bytes before", -d)
	case d >= int64(size):
		at = fmt.Sprintf("%d bytes after", d-int64(size))
	}
	return fmt.Sprintf("\nThe buggy address is located %s\n%s %d-byte object [%#x, %#x) of cache %s\n",
		at, state, size, p, p+size, cache)
}

// guardMisuse names the misuse of a free that found no allocated object of the cache
// at a guarded page: known says that the page is or was one of the cache's objects,
// start that the address is where it begins. text is for the panic, with the address
// and the cache's name.
func guardMisuse(known, start bool) (what, text string) {
	switch {
	case !known:
		return "invalid-free", "foreign free of %p in cache %s: not an object of this cache"
	case !start:
		return "invalid-free", "free of %p in cache %s: inside an object, not the start of an object"
	}
	return "double-free", "double free of %p in cache %s"
}

// byteZone fills what is around an object.
const byteZone = 0xfa

// fill and differs touch memory that no user owns, which the race detector need
// not see. They are loops of plain accesses, because the runtime's functions
// (copy, clear, bytes.Equal) report what they do to the detector themselves,
// wherever they are called.

// fill writes b to n bytes.
//
//go:norace
//go:nosplit
func fill(p unsafe.Pointer, n uintptr, b byte) {
	word := uint64(b) * 0x0101010101010101
	i := uintptr(0)
	for ; i < n && (uintptr(p)+i)&7 != 0; i++ {
		*(*byte)(unsafe.Add(p, i)) = b
	}
	for ; i+8 <= n; i += 8 {
		*(*uint64)(unsafe.Add(p, i)) = word
	}
	for ; i < n; i++ {
		*(*byte)(unsafe.Add(p, i)) = b
	}
}

// differs returns the first and the last byte of n that are not b, or -1.
//
//go:norace
//go:nosplit
func differs(p unsafe.Pointer, n uintptr, b byte) (first, last int) {
	word := uint64(b) * 0x0101010101010101
	first, last = -1, -1
	for i := uintptr(0); i < n; {
		if (uintptr(p)+i)&7 == 0 && i+8 <= n && *(*uint64)(unsafe.Add(p, i)) == word {
			i += 8
			continue
		}
		if *(*byte)(unsafe.Add(p, i)) != b {
			if first < 0 {
				first = int(i)
			}
			last = int(i)
		}
		i++
	}
	return first, last
}
