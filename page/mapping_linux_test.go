package page

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

// smap is a mapping as /proc/self/smaps has it.
type smap struct {
	from, to uintptr
	line     string
	flags    string
}

func smaps(t *testing.T) (all []smap) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		var m smap
		if n, _ := fmt.Sscanf(line, "%x-%x ", &m.from, &m.to); n == 2 {
			m.line = strings.TrimSpace(line)
			all = append(all, m)
		} else if flags, ok := strings.CutPrefix(line, "VmFlags:"); ok && len(all) > 0 {
			all[len(all)-1].flags = strings.TrimSpace(flags) + " "
		}
	}
	return all
}

// mapping returns the mapping that p lies in.
func mapping(t *testing.T, p unsafe.Pointer) smap {
	t.Helper()
	for _, m := range smaps(t) {
		if m.from <= uintptr(p) && uintptr(p) < m.to {
			if m.flags == "" {
				t.Skip("this kernel has no VmFlags in smaps")
			}
			return m
		}
	}
	t.Fatalf("no mapping at %p", p)
	return smap{}
}

func TestMappingsSayWhoseTheyAre(t *testing.T) {
	if testkit.Emulated() {
		t.Skip("an emulator has mappings of its own")
	}
	a := newTest(t, Config{Name: "so[called]"})
	wants := map[string]unsafe.Pointer{
		"metadata": a.core.Metas, "bits": a.core.PendBits,
	}
	if !race.Enabled {
		wants["pages"] = a.core.Base
	}
	for what, p := range wants {
		m := mapping(t, p)
		if !strings.Contains(m.line, "[anon:") {
			if _, err := os.Stat("/proc/sys/vm"); err == nil && !named(t) {
				t.Skip("this kernel gives no names to mappings")
			}
		}
		if !strings.Contains(m.line, " of so_called_]") {
			t.Errorf("%s: %q", what, m.line)
		}
	}
}

// named reports whether the kernel has names of anonymous mappings.
func named(t *testing.T) bool {
	p, err := unix.MmapPtr(-1, 0, nil, Size, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := unix.BytePtrFromString("x")
	return unix.Prctl(unix.PR_SET_VMA, unix.PR_SET_VMA_ANON_NAME, uintptr(p), Size, uintptr(unsafe.Pointer(name))) == nil
}

// QUIESCE=coredump=0 excludes all ranges from core dumps, and nothing else.
func TestTheLibrarysMemoryStaysOutOfCoreDumps(t *testing.T) {
	if testkit.Emulated() {
		t.Skip("an emulator keeps the advice to itself")
	}
	if what := testkit.Scenario(); what != "" {
		a := newTest(t, Config{Name: "dumped"})
		ranges := map[string]unsafe.Pointer{"metadata": a.core.Metas, "bits": a.core.WaitBits, "slots": unsafe.Pointer(a.slots.At(0))}
		if !race.Enabled {
			ranges["pages"], ranges["reserved pages"] = a.core.Base, unsafe.Add(a.core.Base, a.core.Size-Size)
		}
		for name, p := range ranges {
			if m := mapping(t, p); strings.Contains(m.flags, "dd ") != (what == "0") {
				t.Errorf("%s: %s: flags %s", name, m.line, m.flags)
			}
		}
		return
	}
	for _, value := range []string{"0", "1"} {
		if out, err := testkit.OfTest(t, value, "QUIESCE=coredump="+value).Output(); err != nil {
			t.Errorf("coredump=%s: %v\n%s", value, err, out)
		}
	}
}

// In a process that locks its memory what is reserved costs nothing, and memory
// that is free goes back to the system.
func TestLockedMemory(t *testing.T) {
	if testkit.Emulated() || race.Enabled {
		t.Skip("the memory of the emulator or of the race detector would be locked too")
	}
	if testkit.Scenario() == "" {
		out, err := testkit.OfTest(t, "locked").Output()
		if strings.Contains(out, "--- SKIP") {
			t.Skip(out)
		}
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE); err != nil {
		t.Skip(err)
	}
	a := newTest(t, Config{Limit: 64 << 20})
	// residentNow looks at what is open; nothing else may have memory.
	if extra := residentNow(t, a) - a.Stats().Resident; extra > 4<<20 {
		t.Errorf("an allocator that holds %d KiB has %d KiB more", a.Stats().Resident>>10, extra>>10)
	}
	for order := range MaxOrder + 1 {
		ps := exhaustOrder(a, order)
		if got := int64(len(ps)) * Size << order; got < 56<<20 {
			t.Errorf("order %d: %d MiB of 64: memory of other orders was not given back", order, got>>20)
		}
		for _, p := range ps {
			a.Free(p, order)
		}
		if extra := residentNow(t, a) - a.Stats().Resident; extra > 4<<20 {
			t.Errorf("order %d: %d KiB more than is counted", order, extra>>10)
		}
	}
	if got := a.Shrink(); got < 32<<20 {
		t.Errorf("Shrink gave %d KiB back", got>>10)
	}
	if extra := residentNow(t, a) - a.Stats().Resident; extra > 4<<20 {
		t.Errorf("after Shrink: %d KiB more than is counted", extra>>10)
	}
}

// exhaustOrder allocates all there is in blocks of the order.
func exhaustOrder(a *Allocator, order int) (ps []unsafe.Pointer) {
	for {
		p := a.Alloc(order, gfp.Atomic|gfp.NoWarn)
		if p == nil {
			return ps
		}
		ps = append(ps, p)
	}
}

// With HugePages the limit stays exact: what the system gives is 2 MiB at a
// time, and so is what is charged.
func TestHugePagesAreCharged(t *testing.T) {
	const limit = 64 << 20
	a := newTest(t, Config{Limit: limit, HugePages: true})
	check := func(when string) {
		t.Helper()
		s := a.Stats()
		if has := residentNow(t, a); has > s.Resident || s.Resident > limit {
			t.Fatalf("%s: %d KiB have memory, %d are charged, limit %d", when, has>>10, s.Resident>>10, int64(limit)>>10)
		}
		if data := s.Resident - s.Metadata; data%(Size<<MaxOrder) != 0 {
			t.Fatalf("%s: %d KiB of pages are charged, which are no huge pages", when, data>>10)
		}
	}
	check("new")
	if !race.Enabled && !testkit.Emulated() {
		if m := mapping(t, a.core.Base); !strings.Contains(m.flags, "hg ") {
			t.Errorf("pages: flags %s without hg (MADV_HUGEPAGE)", m.flags)
		}
		if m := mapping(t, a.core.Metas); !strings.Contains(m.flags, "nh ") {
			t.Errorf("metadata: flags %s without nh (MADV_NOHUGEPAGE)", m.flags)
		}
	}
	one := a.Alloc(0, gfp.Kernel)
	check("one page")
	if got := a.Stats().Resident; got > 3<<20 {
		t.Errorf("one page: %d KiB resident, want one huge page and its metadata", got>>10)
	}
	for order := range MaxOrder + 1 {
		a.flushLists() // what waits there keeps huge pages from being whole
		ps := exhaustOrder(a, order)
		check(fmt.Sprint("all in order ", order))
		if got := int64(len(ps)) * Size << order; got < limit-(8<<20) {
			t.Errorf("order %d: %d MiB of %d could be had", order, got>>20, limit>>20)
		}
		for i, p := range ps {
			a.Free(p, order)
			if i%1000 == 0 {
				check("while freeing")
			}
		}
	}
	a.Free(one, 0)
	a.Shrink()
	check("shrunk")
	if got := a.Stats().Resident - a.Stats().Metadata; got != Size<<MaxOrder {
		t.Errorf("%d KiB of pages after Shrink, want those of page 0", got>>10)
	}
}
