package page

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

// underLimit runs the calling test as a child under ulimit.
func underLimit(t *testing.T, ulimit string) string {
	t.Helper()
	c := testkit.OfTest(t, ulimit)
	cmd := exec.CommandContext(t.Context(), "sh", append([]string{"-c", "ulimit " + ulimit + ` && exec "$0" "$@"`, os.Args[0]}, c.Args...)...)
	cmd.Env = append(os.Environ(), testkit.ChildEnv+"="+ulimit)
	out, _ := cmd.CombinedOutput()
	return string(out)
}

// An import must not end a program, and the Go heap must get some of the little
// that there is.
func TestLittleAddressSpace(t *testing.T) {
	if testkit.Emulated() || race.Enabled {
		t.Skip("the emulator and the race detector need the address space")
	}
	if testkit.Scenario() != "" {
		a := Default()
		n := 0
		for a.Alloc(0, quiet) != nil {
			n++
		}
		fmt.Println("pages:", n > 0)
		var heap [][]byte // the runtime ends the program if it gets nothing
		for range 4 {
			heap = append(heap, make([]byte, 1<<20))
		}
		fmt.Println("Go heap:", len(heap))
		a.Alloc(0, gfp.NoWait) // logs
		b, err := New(Config{Name: "large", Reserve: 32 << 30})
		fmt.Println("another:", b != nil, err)
		return
	}
	for ulimit, wants := range map[string][]string{
		"-v 4000000":                 {"RLIMIT_AS is 4000000 KiB"},
		fmt.Sprintf("-v %d", little): {fmt.Sprintf("RLIMIT_AS is %d KiB", little)},
		"-d 150000":                  {"RLIMIT_DATA is 150000 KiB"},
	} {
		out := underLimit(t, ulimit)
		if strings.Contains(out, "failed to reserve") || strings.Contains(out, "heap arena map") {
			t.Skip("the runtime itself does not start: ", out)
		}
		for _, want := range append(wants, "page: little address space", "pages: true", "Go heap: 4", "PASS") {
			if !strings.Contains(out, want) {
				t.Errorf("ulimit %s: %q is not in\n%s", ulimit, want, out)
			}
		}
		if strings.HasPrefix(ulimit, "-v") && !strings.Contains(out, "another: false page: allocator large: no address space: mmap: cannot allocate memory ("+wants[0]+")") {
			t.Errorf("ulimit %s: the error does not name the limit:\n%s", ulimit, out)
		}
	}
}

// A process without address space for a default allocator has one that refuses.
func TestAnAllocatorThatCouldNotBeMadeRefuses(t *testing.T) {
	a := unmade(Config{Name: "default"}, fmt.Errorf("no room"))
	if a.Alloc(0, quiet) != nil || a.Alloc(3, gfp.Kernel|gfp.NoWarn) != nil || a.Alloc(0, quiet|gfp.NoLocks) != nil {
		t.Error("memory from nowhere")
	}
	if s := a.Stats(); s.Resident != 0 || s.InUse != 0 || s.Free != 0 {
		t.Errorf("%+v", s)
	}
	if a.Shrink() != 0 {
		t.Error("Shrink gave memory back")
	}
	if a.Contains(nil) {
		t.Error("nil is in its range")
	}
	a.AddReclaimer(&asked{})
	if err := a.Close(); err == nil {
		t.Error("Close of it succeeds")
	}
}
