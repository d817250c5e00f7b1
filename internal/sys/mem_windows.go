package sys

import (
	"os"
	"unsafe"

	"golang.org/x/sys/windows"
)

// Reserve takes size bytes of address space with no access and no memory.
func Reserve(size uintptr) (unsafe.Pointer, error) {
	return alloc(nil, size, windows.MEM_RESERVE, windows.PAGE_NOACCESS)
}

// Open makes [p, p+size) of a reserved range readable and writable.
func Open(p unsafe.Pointer, size uintptr) error {
	_, err := alloc(p, size, windows.MEM_COMMIT, windows.PAGE_READWRITE)
	return err
}

func alloc(p unsafe.Pointer, size uintptr, typ, prot uint32) (unsafe.Pointer, error) {
	a, err := windows.VirtualAlloc(uintptr(p), size, typ, prot)
	if err != nil {
		return nil, os.NewSyscallError("VirtualAlloc", err)
	}
	return *(*unsafe.Pointer)(unsafe.Pointer(&a)), nil
}

// Populate commits [p, p+size) so that no later access faults.
func Populate(p unsafe.Pointer, size uintptr) error {
	touch(p, size)
	return nil
}

// memReset is MEM_RESET: the content is of no interest any more.
const memReset = 0x80000

// Discard returns the memory of [p, p+size); it reads as zero afterwards.
// Decommitting would make it unreadable for a moment, which a lock-free reader
// of a stale page would notice. Reset memory keeps its content or is zero, so
// it is cleared first.
func Discard(p unsafe.Pointer, size uintptr) error {
	clear(unsafe.Slice((*byte)(p), size))
	_, err := alloc(p, size, memReset, windows.PAGE_READWRITE)
	return err
}

// Sleep blocks the thread for ns nanoseconds without a Go timer. It must not
// be called pinned.
func Sleep(ns int64) {
	windows.SleepEx(uint32((ns+999_999)/1_000_000), false)
}
