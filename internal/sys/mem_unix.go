//go:build unix

package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Reserve takes size bytes of address space with no access and no memory.
func Reserve(size uintptr) (unsafe.Pointer, error) {
	return mmap(size, unix.PROT_NONE)
}

// ReserveOpen takes size bytes of address space that read as zero and get
// memory page by page when first written.
func ReserveOpen(size uintptr) (unsafe.Pointer, error) {
	return mmap(size, unix.PROT_READ|unix.PROT_WRITE)
}

func mmap(size uintptr, prot int) (unsafe.Pointer, error) {
	p, err := unix.MmapPtr(-1, 0, nil, size, prot, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return p, nil
}

// Open makes [p, p+size) of a reserved range readable and writable.
func Open(p unsafe.Pointer, size uintptr) error {
	return os.NewSyscallError("mprotect", unix.Mprotect(unsafe.Slice((*byte)(p), size), unix.PROT_READ|unix.PROT_WRITE))
}
