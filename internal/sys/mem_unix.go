//go:build unix

package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reserve takes size bytes of address space with no access and no memory.
func Reserve(size uintptr) (unsafe.Pointer, error) {
	p, err := unix.MmapPtr(-1, 0, nil, size, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|noReserve)
	if err != nil {
		return nil, noRoom(mmapRoom, err)
	}
	reserved(p, size)
	return p, nil
}

// Open makes [p, p+size) of a reserved range readable and writable.
func Open(p unsafe.Pointer, size uintptr) error {
	return noRoom(mprotectRoom, unix.Mprotect(unsafe.Slice((*byte)(p), size), unix.PROT_READ|unix.PROT_WRITE))
}
