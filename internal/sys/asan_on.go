//go:build asan

package sys

import "unsafe"

// AddressSanitizer has a byte of shadow memory for 8 bytes of memory: 0, all
// of them may be accessed; 1 to 7, the first so many; anything else, none, and
// the value says why. Its mapping is part of what compilers generate, so it is
// as fixed as an ABI. Writing to it directly is a memory operation and thus
// allowed pinned, where a call of __asan_poison_memory_region through cgo is
// not. The writing is in assembly, because the compiler would have ASan check
// the access to the shadow too.

// Shadow values: ASan then says heap-use-after-free, or heap-buffer-overflow.
const (
	AsanFreed = 0xfd
	AsanZone  = 0xfa
)

// AsanPoison makes ASan report accesses to [p, p+size), which ends on an 8-byte
// boundary.
//
// Context: any.
func AsanPoison(p unsafe.Pointer, size uintptr, why byte) {
	if size == 0 {
		return
	}
	end := uintptr(p) + size
	if part := uintptr(p) & 7; part != 0 { // the first bytes of this one stay
		shadowFill(shadow(uintptr(p)), 1, byte(part))
	}
	first := (uintptr(p) + 7) >> 3
	shadowFill(first+asanOffset, end>>3-first, why)
}

// AsanUnpoison undoes AsanPoison for a range that is a multiple of 8 bytes.
func AsanUnpoison(p unsafe.Pointer, size uintptr) {
	shadowFill(shadow(uintptr(p)), size>>3, 0)
}

func shadow(p uintptr) uintptr { return p>>3 + asanOffset }

// shadowFill sets n bytes at p.
//
//go:noescape
func shadowFill(p, n uintptr, b byte)
