//go:build unix

package sys

import (
	"errors"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// An allocation that waits for memory meets this error every 20 µs, in a process
// whose Go heap may not grow either.
func TestTheErrorOfRefusedMemoryTakesNone(t *testing.T) {
	var err error
	if n := testing.AllocsPerRun(100, func() { err = noRoom(mprotectRoom, unix.ENOMEM) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if want := "mprotect: cannot allocate memory"; !errors.Is(err, unix.ENOMEM) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
	if err := noRoom(mmapRoom, unix.EACCES); !errors.Is(err, unix.EACCES) || err.Error() != "mmap: permission denied" {
		t.Errorf("%v", err)
	}
	if err := noRoom(mmapRoom, nil); err != nil {
		t.Errorf("%v without an error", err)
	}
}
