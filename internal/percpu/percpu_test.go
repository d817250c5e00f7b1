package percpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/internal/sys"
)

// slot is what a user of Slots keeps per P.
type slot struct {
	n uint64
	_ [Line - 8]byte
}

func newSlots(t *testing.T) *Slots[slot] {
	s := new(Slots[slot])
	if err := s.Init(); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestCPUFillsOneLine(t *testing.T) {
	if got := unsafe.Sizeof(CPU{}); got != Line {
		t.Errorf("sizeof(CPU) = %d, want %d", got, Line)
	}
	if used := unsafe.Offsetof(CPU{}.Hardirq) + 4; used > 64 {
		t.Errorf("the fields of CPU take %d bytes, more than a cache line of 64", used)
	}
}

// The linker places the array, so this depends on the binary: it aligns large
// variables to 32 bytes.
func TestCPUStateLiesInOneCacheLine(t *testing.T) {
	if at := uintptr(unsafe.Pointer(Of(0))) % 128; at%64 != 0 {
		t.Errorf("the state of a P begins %d bytes into a line of 128: it takes two cache lines", at)
	}
}

func TestOfMasksTheNumber(t *testing.T) {
	for _, id := range []int{0, 1, 100, MaxP - 1} {
		want := uintptr(unsafe.Pointer(Of(0))) + uintptr(id)*Line
		if got := uintptr(unsafe.Pointer(Of(id))); got != want {
			t.Errorf("Of(%d) = %#x, want %#x", id, got, want)
		}
	}
	if Of(MaxP) != Of(0) {
		t.Error("a number out of range is not masked")
	}
}

func TestPinReturnsTheStateOfThePinnedP(t *testing.T) {
	for range 100 {
		c := Pin()
		id := sys.ProcPin()
		sys.ProcUnpin()
		sys.ProcUnpin()
		if c != Of(id) {
			t.Fatalf("Pin() is not the state of P %d", id)
		}
		runtime.Gosched()
	}
}

func TestSlotsOfTwoPsNeverShareALine(t *testing.T) {
	s := newSlots(t)
	defer s.Release()
	for id := range 1000 {
		p := uintptr(unsafe.Pointer(s.At(id)))
		if p%Line != 0 {
			t.Fatalf("slot %d at %#x does not begin a line", id, p)
		}
		if q := uintptr(unsafe.Pointer(s.At(id + 1))); p/Line == q/Line {
			t.Fatalf("slots %d and %d share a line", id, id+1)
		}
	}
	if first, last := uintptr(unsafe.Pointer(s.At(0))), uintptr(unsafe.Pointer(s.At(MaxP-1))); last-first != (MaxP-1)*pitch {
		t.Errorf("slot %d is %d bytes from slot 0", MaxP-1, last-first)
	}
	s.At(MaxP - 1).n = 1 // reserved and accessible
	s.Register(MaxP - 1)
}

func TestRegisterRaisesUsedAndNeverLowersIt(t *testing.T) {
	s := newSlots(t)
	defer s.Release()
	for _, c := range []struct{ register, used int }{
		{-1, 0}, {0, 1}, {0, 1}, {5, 6}, {3, 6}, {5, 6}, {6, 7}, {MaxP - 1, MaxP},
	} {
		if c.register >= 0 {
			s.Register(c.register)
		}
		if got := s.Used(); got != c.used {
			t.Fatalf("after Register(%d): Used() = %d, want %d", c.register, got, c.used)
		}
	}
}

func TestRegisterFromManyGoroutinesKeepsTheHighest(t *testing.T) {
	s := newSlots(t)
	defer s.Release()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				s.Register(i*8 + g)
			}
		})
	}
	wg.Wait()
	if got := s.Used(); got != 8000 {
		t.Errorf("Used() = %d, want 8000", got)
	}
}

func TestReleaseThenInitGivesZeroedSlots(t *testing.T) {
	s := newSlots(t)
	for round := range 5 {
		for id := range 700 {
			if n := s.At(id).n; n != 0 {
				t.Fatalf("round %d: slot %d = %d after Init, want 0", round, id, n)
			}
			s.At(id).n = uint64(id) + 1
			s.Register(id)
		}
		base := s.At(0)
		s.Release()
		if err := s.Init(); err != nil {
			t.Fatal(err)
		}
		if s.At(0) != base {
			t.Errorf("round %d: Init took a new column although one of the width was free", round)
		}
	}
	s.Release()
	s.Release() // of what is released: no effect
}

// bump is the owner's access: plain, while pinned. Two goroutines on one P
// are never in it at once, which the race detector can't know.
//
//go:norace
func bump(s *Slots[slot]) {
	id := sys.ProcPin()
	s.Register(id)
	s.At(id).n++
	sys.ProcUnpin()
}

func TestPinnedIncrementsSurviveGOMAXPROCSChanges(t *testing.T) {
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	s := newSlots(t)
	defer s.Release()
	const goroutines, each = 24, 4000
	var wg sync.WaitGroup
	var running atomic.Int32
	running.Store(goroutines)
	for range goroutines {
		wg.Go(func() {
			defer running.Add(-1)
			for i := range each {
				bump(s)
				if i%16 == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	highest := 0
	for i := 0; running.Load() > 0; i++ {
		n := []int{16, 1, 7, 2, 12, 3}[i%6]
		runtime.GOMAXPROCS(n)
		highest = max(highest, n)
		runtime.Gosched()
	}
	wg.Wait()
	var sum uint64
	for id := range s.Used() {
		sum += s.At(id).n
	}
	if sum != goroutines*each {
		t.Errorf("the slots hold %d increments, want %d", sum, goroutines*each)
	}
	if s.Used() > max(highest, old) {
		t.Errorf("Used() = %d with never more than %d Ps", s.Used(), max(highest, old))
	}
}

// Exits of readers don't check the mark, so a P on which readers only left has
// to be found by its counters.
func TestFindReadersRaisesTheMarkOverPsWithExitsOnly(t *testing.T) {
	id, from := Readers()+100, 0
	for i := range 2 {
		Of(id + i*50).Unlock[i] = 1
		from = 0
		FindReaders(&from)
		if got := Readers(); got != id+i*50+1 {
			t.Errorf("Readers() = %d after an exit of index %d on P %d, want %d", got, i, id+i*50, id+i*50+1)
		}
	}
	Of(id).Unlock[0], Of(id + 50).Unlock[1] = 0, 0
	before := Readers()
	from = 0
	FindReaders(&from)
	if Readers() != before {
		t.Error("FindReaders changed the mark although nothing was above it")
	}
}

// A driver must not stop for the page faults of the whole table at once.
func TestFindReadersLooksEverywhereAStretchAtATime(t *testing.T) {
	last, from := MaxP-1, 0
	Of(last).Unlock[0] = 1
	defer func() { Of(last).Unlock[0] = 0 }()
	before := int32(Readers())
	defer readers.Store(before)
	calls := 0
	for Readers() <= last {
		at := from
		FindReaders(&from)
		if calls++; from-at > findStretch+int(before) || calls > MaxP/findStretch+1 {
			t.Fatalf("call %d read from %d to %d; the P with an exit is %d", calls, at, from, last)
		}
	}
	if calls < MaxP/findStretch-1 {
		t.Errorf("the last P was found by call %d", calls)
	}
	from = MaxP
	if FindReaders(&from); from == MaxP && Readers() < MaxP {
		t.Error("the search does not begin again at the end of the table")
	}
}

func TestRegisterReaderMarksThePOnce(t *testing.T) {
	id := Readers() + 10
	RegisterReader(id)
	if Readers() != id+1 || Of(id).Reader == 0 {
		t.Errorf("Readers() = %d, Reader = %d after RegisterReader(%d)", Readers(), Of(id).Reader, id)
	}
}

// Slots of several values in a row lie next to each other on the P's row, and are
// cleared when they are released, all of them.
func TestSlotsInARow(t *testing.T) {
	const n = 5
	s := new(Slots[slot])
	if err := s.InitRow(pitch/Line + 1); err == nil {
		t.Error("a slot wider than a row is accepted")
	}
	if err := s.InitRow(n); err != nil {
		t.Fatal(err)
	}
	next := newSlots(t)
	defer next.Release()
	at := func(id, i int) *slot {
		return (*slot)(unsafe.Add(unsafe.Pointer(s.At(id)), uintptr(i)*unsafe.Sizeof(slot{})))
	}
	seen := map[*slot]bool{next.At(0): true, next.At(1): true}
	for id := range 2 {
		s.Register(id)
		for i := range n {
			p := at(id, i)
			if seen[p] || p.n != 0 {
				t.Errorf("value %d of P %d: it is another's: %v; it has %d", i, id, seen[p], p.n)
			}
			seen[p] = true
			p.n = 1
		}
	}
	first := s.At(0)
	s.Release()
	again := new(Slots[slot])
	if err := again.InitRow(n); err != nil {
		t.Fatal(err)
	}
	defer again.Release()
	if again.At(0) != first {
		t.Error("a column that was released is not taken again")
	}
	s = again
	for id := range 2 {
		for i := range n {
			if at(id, i).n != 0 {
				t.Errorf("value %d of P %d was not cleared", i, id)
			}
		}
	}
}
