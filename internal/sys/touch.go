package sys

import "unsafe"

// touch faults every page in without changing a byte, for systems that have
// no call for it. The range belongs to the caller. The race detector, which may
// watch the range, must not take this for a user's access.
//
//go:norace
func touch(p unsafe.Pointer, size uintptr) {
	for off := uintptr(0); off < size; off += 4096 {
		w := (*uint32)(unsafe.Add(p, off))
		write(w, read(w))
	}
}

// In one function the compiler would drop both.
//
//go:norace
//go:noinline
func read(p *uint32) uint32 { return *p }

//go:norace
//go:noinline
func write(p *uint32, v uint32) { *p = v }
