//go:build poison || asan

package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// guardFault reports an access that faulted, on the signal stack of its
// thread: see sys.OnFault. Go's own message and trace follow.
//
//go:nosplit
//go:norace
func guardFault(addr, pc uintptr, access int) {
	g := guards
	off := addr - g.base
	i := off / (2 * g.page)
	// In a guard page: of the objects on either side, the nearer one. An
	// object begins in the middle of its page at the earliest if it is small.
	if off&(2*g.page-1) >= g.page && i+1 < uintptr(len(g.slots)) {
		before, after := &g.slots[i], &g.slots[i+1]
		toBefore := off & (g.page - 1)
		begin := uintptr(now(&after.begin))
		if begin != 0 && begin-addr < toBefore || now(&before.begin) == 0 {
			i++
		}
	}
	s := &g.slots[i]
	begin, size, how := uintptr(now(&s.begin)), uintptr(now(&s.size)), *(*uint32)(unsafe.Pointer(&s.how))
	sys.WriteRaw(rule)
	switch {
	case begin == 0:
		sys.WriteRaw("BUG: quiesce: wild access")
	case addr < begin || addr >= begin+size:
		sys.WriteRaw("BUG: quiesce: slab-out-of-bounds")
	default:
		sys.WriteRaw("BUG: quiesce: slab-use-after-free")
	}
	sys.WriteRaw(" in the function at pc ")
	rawNumber(pc, 16)
	sys.WriteRaw("\n")
	switch access {
	case sys.AccessRead:
		sys.WriteRaw("Read")
	case sys.AccessWrite:
		sys.WriteRaw("Write")
	default:
		sys.WriteRaw("Access")
	}
	sys.WriteRaw(" at addr ")
	rawNumber(addr, 16)
	sys.WriteRaw("; the goroutine's trace follows this report\n")
	if begin == 0 {
		sys.WriteRaw(rule)
		return
	}
	if text := textNow(&s.allocText); text != nil {
		sys.WriteRaw("\nAllocated by goroutine ")
		rawNumber(uintptr(now(&s.allocG)), 10)
		sys.WriteRaw(":\n")
		sys.WriteRaw(*text)
	}
	if text := textNow(&s.freeText); text != nil && how != 0 {
		if how == 2 {
			sys.WriteRaw("\nIts grace period has ended and it was freed. Given to FreeRCU by goroutine ")
		} else {
			sys.WriteRaw("\nFreed by goroutine ")
		}
		rawNumber(uintptr(now(&s.freeG)), 10)
		sys.WriteRaw(":\n")
		sys.WriteRaw(*text)
	}
	sys.WriteRaw("\nThe buggy address is located ")
	switch {
	case addr < begin:
		rawNumber(begin-addr, 10)
		sys.WriteRaw(" bytes before")
	case addr >= begin+size:
		rawNumber(addr-begin-size, 10)
		sys.WriteRaw(" bytes after")
	default:
		rawNumber(addr-begin, 10)
		sys.WriteRaw(" bytes inside of")
	}
	if how == 0 {
		sys.WriteRaw("\nallocated ")
	} else {
		sys.WriteRaw("\nfreed ")
	}
	rawNumber(size, 10)
	sys.WriteRaw("-byte object [")
	rawNumber(begin, 16)
	sys.WriteRaw(", ")
	rawNumber(begin+size, 16)
	sys.WriteRaw(") of cache ")
	if name := textNow(&s.name); name != nil {
		sys.WriteRaw(*name)
	}
	sys.WriteRaw("\nIt is a guarded object: its page is its own, and protected.\n")
	sys.WriteRaw(rule)
}

// now and textNow read what is atomic by plain loads: in race builds the atomics
// are calls that need more stack than a signal handler has.
//
//go:nosplit
//go:norace
func now(a *atomic.Uint64) uint64 { return *(*uint64)(unsafe.Pointer(a)) }

//go:nosplit
//go:norace
func textNow(a *atomic.Pointer[string]) *string { return *(**string)(unsafe.Pointer(a)) }

// rawNumber writes a number on a signal stack.
//
//go:nosplit
//go:norace
func rawNumber(n, base uintptr) {
	var buf [24]byte
	i := len(buf)
	for {
		i--
		buf[i] = "0123456789abcdef"[n%base]
		n /= base
		if n == 0 {
			break
		}
	}
	if base == 16 {
		i--
		buf[i] = 'x'
		i--
		buf[i] = '0'
	}
	sys.WriteRaw(unsafe.String(&buf[i], len(buf)-i))
}
