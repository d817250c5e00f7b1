package percpu

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"quiesce/internal/testkit"
)

// flagsAt returns the kernel's flags of the mapping that p lies in.
func flagsAt(t *testing.T, p unsafe.Pointer) string {
	t.Helper()
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	inside := false
	for s := bufio.NewScanner(f); s.Scan(); {
		var from, to uintptr
		if n, _ := fmt.Sscanf(s.Text(), "%x-%x ", &from, &to); n == 2 {
			inside = from <= uintptr(p) && uintptr(p) < to
		} else if flags, ok := strings.CutPrefix(s.Text(), "VmFlags:"); ok && inside {
			return flags + " "
		}
	}
	t.Skip("this kernel has no VmFlags in smaps")
	return ""
}

// Where transparent_hugepage/enabled is "always", the first touch of a slot
// would commit 2 MiB.
func TestSlotsAreKeptOutOfHugePages(t *testing.T) {
	if testkit.Emulated() {
		t.Skip("an emulator keeps the advice to itself")
	}
	s := newSlots(t)
	defer s.Release()
	for name, p := range map[string]unsafe.Pointer{
		"slots": unsafe.Pointer(s.At(1000)),
		"CPUs":  unsafe.Pointer(Of(MaxP / 2)),
	} {
		if flags := flagsAt(t, p); !strings.Contains(flags, " nh ") {
			t.Errorf("%s: the mapping has the flags %q, without nh (MADV_NOHUGEPAGE)", name, flags)
		}
	}
}

func ptr(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }
