package page

import (
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// residentNow asks the system how many bytes of the allocator's region have
// memory, metadata included. The zone lock makes the answer exact: without it
// pages come and go while the system looks, and with it only those that are
// charged may come, and those that go stay charged.
func residentNow(t testing.TB, a *Allocator) (bytes int64) {
	t.Helper()
	a.grow.Lock()
	defer a.grow.Unlock()
	parts := a.rng.parts(a.rng.opened)
	var vecs [len(parts)][]byte
	for i := range vecs {
		vecs[i] = make([]byte, parts[i].size/Size)
	}
	var errno syscall.Errno
	a.core.LockZone()
	for i, vec := range vecs {
		_, _, e := syscall.RawSyscall(unix.SYS_MINCORE, uintptr(*parts[i].base), parts[i].size, uintptr(unsafe.Pointer(&vec[0])))
		errno = max(errno, e)
	}
	a.core.UnlockZone()
	if errno != 0 {
		t.Fatal(errno)
	}
	for _, vec := range vecs {
		for _, v := range vec {
			bytes += int64(v&1) * Size
		}
	}
	return bytes
}
