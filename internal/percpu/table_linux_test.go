package percpu

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

func mappings(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(b, []byte("\n"))
}

// status returns a figure of /proc/self/status in KiB.
func status(t *testing.T, name string) (kib int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), name+":")
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		t.Skipf("no %s here: %v", name, err)
	}
	return kib
}

// resident returns how many KiB of the tables have memory.
func resident(t *testing.T) (kib int) {
	t.Helper()
	page := os.Getpagesize()
	for i := range tables.n.Load() {
		size := hot.rows * pitch
		vec := make([]byte, size/uintptr(page))
		_, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(tables.at[i]), size, uintptr(ptr(vec)))
		if errno != 0 {
			t.Skipf("mincore: %v", errno)
		}
		for _, v := range vec {
			kib += int(v&1) * page >> 10
		}
	}
	return kib
}

func TestSlotsCostNoMappingAndNoPageEach(t *testing.T) {
	if testkit.Emulated() {
		t.Skip("an emulator has mappings of its own")
	}
	const n, perTable = 10_000, pitch / Line
	s := newSlots(t)
	defer s.Release()
	lines, kib, had := mappings(t), resident(t), tables.n.Load()
	for range n {
		s := newSlots(t)
		defer s.Release()
		s.At(0).n, s.At(1).n = 1, 1 // two Ps run
	}
	if got, most := mappings(t)-lines, 2*(n/perTable+1)+8; got > most {
		t.Errorf("%d Slots made %d mappings more, want at most %d", n, got, most)
	}
	if got := tables.n.Load() - had; got > n/perTable+1 {
		t.Errorf("%d Slots made %d tables", n, got)
	}
	if got, most := resident(t)-kib, n*2*Line>>10*2; got > most {
		t.Errorf("%d Slots on two Ps have %d KiB of memory, want at most %d", n, got, most)
	}
}

// What is reserved and not used costs nothing where all memory is locked.
func TestLockedMemoryIsOneRowForEachP(t *testing.T) {
	if testkit.Emulated() || race.Enabled {
		t.Skip("the memory of the emulator or of the race detector would be locked too")
	}
	if testkit.Scenario() == "" {
		if out, err := testkit.OfTest(t, "locked").Output(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		} else if strings.Contains(out, "--- SKIP") {
			t.Skip(out)
		}
		return
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE); err != nil {
		t.Skip(err)
	}
	before := status(t, "VmRSS")
	for range 500 {
		newSlots(t).At(0).n = 1
	}
	ps := int(hot.rows)
	if got, most := status(t, "VmRSS")-before, ps*pitch>>10+16<<10; got > most { // the Go heap grows too
		t.Errorf("500 Slots for %d Ps have %d KiB of memory, want at most %d", ps, got, most)
	}
}

// With little address space there are fewer rows, and a P without one ends the
// program with a sentence.
func TestAddressSpaceForFewerPs(t *testing.T) {
	if testkit.Emulated() || race.Enabled {
		t.Skip("the emulator and the race detector need the address space")
	}
	if testkit.Scenario() == "" {
		out, err := testkit.OfTest(t, "small").Output()
		if strings.Contains(out, "--- SKIP") {
			t.Skip(out)
		}
		const says = "GOMAXPROCS was raised above"
		if err == nil || !strings.Contains(out, says) || !strings.Contains(out, "P 400 works") {
			t.Fatalf("want P 400 to work and an end that says %q: %v\n%s", says, err, out)
		}
		return
	}
	const limit = 4 << 30
	if err := unix.Setrlimit(unix.RLIMIT_AS, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Skip(err)
	}
	s := newSlots(t)
	if most*pitch > limit/64 {
		t.Errorf("a table takes %d MiB of %d", most*pitch>>20, limit>>20)
	}
	s.At(400).n = 1
	fmt.Println("P 400 works")
	s.At(int(most)).n = 1
}
