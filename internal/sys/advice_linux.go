package sys

import (
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"quiesce/internal/option"
)

// SmallPages keeps transparent huge pages out of [p, p+size): populating one
// page of the range commits one page and not 2 MiB.
func SmallPages(p unsafe.Pointer, size uintptr) error {
	err := unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_NOHUGEPAGE)
	if err == unix.EINVAL { // a kernel without huge pages
		err = nil
	}
	return os.NewSyscallError("madvise", err)
}

// HugePages asks for transparent huge pages in [p, p+size).
func HugePages(p unsafe.Pointer, size uintptr) {
	_ = unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_HUGEPAGE) // EINVAL: the kernel has none
}

// Name gives [p, p+size) a name in /proc/self/maps, where the kernel can.
func Name(p unsafe.Pointer, size uintptr, name string) {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || strings.ContainsRune("\\`$[]", r) { // the kernel refuses them
			return '_'
		}
		return r
	}, name)
	b, err := unix.BytePtrFromString(name[:min(len(name), 79)])
	if err == nil {
		_ = unix.Prctl(unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME, uintptr(p), size, uintptr(unsafe.Pointer(b)))
	}
}

// dumped is false under QUIESCE=coredump=0.
var dumped = option.Bool("coredump")

// reserved obeys the option for address space that was reserved.
func reserved(p unsafe.Pointer, size uintptr) {
	if !dumped {
		_ = unix.Madvise(unsafe.Slice((*byte)(p), size), unix.MADV_DONTDUMP)
	}
}
