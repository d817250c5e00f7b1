package slab

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// faultInfo is what the handler of faults reads of a guarded object. It is written
// while the object's page is accessible, or by the one who has its lock, and so not
// while an access to it may fault.
type faultInfo struct {
	name, allocText, freeText  atomic.Pointer[string]
	allocG, freeG, begin, size atomic.Uint64
	how                        atomic.Uint32 // 0 allocated, 1 freed, 2 freed by FreeRCU
}

// faultRange is where guarded objects lie: every second page from base on is that of
// an object, and the others never have access rights. Immutable once OnFault is called.
var faultRange struct {
	base, page uintptr
	info       []faultInfo // by page of an object
}

// nearestGuarded returns the number of the object that an address of the range is in
// the page of, or else, in a guard page, of the nearer one on either side. An object
// begins in the middle of its page at the earliest if it is small, or where it begins.
//
//go:nosplit
//go:norace
func nearestGuarded(addr uintptr) uintptr {
	g := &faultRange
	off := addr - g.base
	if addr < g.base { // the page before the first object's
		off = 0
	}
	i := off / (2 * g.page)
	if off&(2*g.page-1) >= g.page && i+1 < uintptr(len(g.info)) {
		before, after := &g.info[i], &g.info[i+1]
		toBefore := off & (g.page - 1)
		begin := uintptr(now(&after.begin))
		if begin != 0 && begin-addr < toBefore || now(&before.begin) == 0 {
			i++
		}
	}
	return i
}

// guardFault reports an access that faulted, on the signal stack of its
// thread: see sys.OnFault. Go's own message and trace follow.
//
//go:nosplit
//go:norace
func guardFault(addr, pc uintptr, access int) {
	s := &faultRange.info[nearestGuarded(addr)]
	begin, size, how := uintptr(now(&s.begin)), uintptr(now(&s.size)), *(*uint32)(unsafe.Pointer(&s.how)) // ord:fault-info
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
