package percpu

import (
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// wide is a slot of five lines.
type wide struct{ n [5 * Line / 8]uint64 }

func TestColumnsNeverOverlap(t *testing.T) {
	var narrow []*Slots[slot]
	var broad []*Slots[wide]
	owner := map[uintptr]string{} // of each line of row 0
	claim := func(p unsafe.Pointer, n int, who string) {
		for i := range n {
			line := uintptr(p)/Line + uintptr(i)
			if other := owner[line]; other != "" {
				t.Fatalf("line %#x belongs to %s and %s", line*Line, other, who)
			}
			owner[line] = who
		}
	}
	for range 1500 { // more than a table has
		s, w := newSlots(t), new(Slots[wide])
		if err := w.Init(); err != nil {
			t.Fatal(err)
		}
		narrow, broad = append(narrow, s), append(broad, w)
		claim(unsafe.Pointer(s.At(0)), 1, "a narrow one")
		claim(unsafe.Pointer(w.At(0)), 5, "a wide one")
		if d := uintptr(unsafe.Pointer(w.At(3))) - uintptr(unsafe.Pointer(w.At(2))); d != pitch {
			t.Fatalf("slots 2 and 3 are %d bytes apart, want %d", d, pitch)
		}
	}
	for i := range narrow {
		narrow[i].Release()
		broad[i].Release()
	}
}

// A column is not used again before it is released, and a released one belongs
// to nobody but those that are released.
func TestReleasedSlotsShareAColumnOfTheirOwn(t *testing.T) {
	a, b := newSlots(t), newSlots(t)
	a.Release()
	b.Release()
	if a.At(1) != b.At(1) {
		t.Error("two released Slots have different slots")
	}
	for range 10 {
		s := newSlots(t)
		defer s.Release()
		if s.At(1) == a.At(1) {
			t.Fatal("live Slots have the column of the released ones")
		}
	}
}

// Rows are opened when a P is first seen, and tables are added at the same
// time: no column that was handed out may have a closed row.
func TestRowsOpenWhileTablesAreAdded(t *testing.T) {
	var all sync.Map
	var made atomic.Int32
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 150 {
				s := new(Slots[[pitch / Line / 2][Line]byte]) // half a table
				if err := s.Init(); err != nil {
					t.Error(err)
					return
				}
				s.At(0)[0][0] = 1
				all.Store(made.Add(1), s)
				// The newest of all, by the highest P that anybody has seen.
				if x, ok := all.Load(made.Load()); ok {
					id := min(int(wanted.Load())+rand.IntN(2), MaxP-1)
					if i%3 == 0 {
						id = min(id*2, MaxP/2)
					}
					_ = x.(*Slots[[pitch / Line / 2][Line]byte]).At(id)[1][0] // faults if the row is closed
				}
				s.Register(0)
			}
		})
	}
	wg.Wait()
	for _, s := range all.Range { // not before: others may be at them
		s.(*Slots[[pitch / Line / 2][Line]byte]).Release()
	}
}

// The table comes when the rows of all others are about to be opened, and so is
// not among them. Nobody may find rows that are not open in all tables. In a
// process of its own, where few rows are open.
func TestATableThatIsAddedWhileRowsAreOpenedHasThemToo(t *testing.T) {
	if testkit.Scenario() == "" {
		if out, err := testkit.OfTest(t, "1").Output(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	newSlots(t).Release() // the first table
	n := wanted.Load() + 1
	if n > most {
		t.Skipf("a table has %d rows, all of them open", most)
	}
	var added unsafe.Pointer
	ok := openRows(n, func(p unsafe.Pointer, size uintptr) bool {
		if atomic.LoadUintptr(&hot.rows) >= n {
			t.Error("rows count as open before they are")
		}
		if added == nil {
			columns.Lock()
			defer columns.Unlock()
			var err error
			if added, err = addTable(); err != nil {
				t.Fatal(err)
			}
		}
		return sys.OpenPinned(p, size) || sys.Open(p, size) == nil
	})
	if rows := atomic.LoadUintptr(&hot.rows); !ok || rows < n {
		t.Fatalf("opened: %v; %d rows, want %d", ok, rows, n)
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			t.Errorf("the last row of the new table: %v", r)
		}
	}()
	*(*byte)(unsafe.Add(added, (n-1)*pitch)) = 0
}

func TestFollowOpensTheRowsOfAllPs(t *testing.T) {
	s := newSlots(t)
	defer s.Release()
	before := atomic.LoadUintptr(&hot.rows)
	Follow()
	if r := atomic.LoadUintptr(&hot.rows); r != before {
		t.Errorf("Follow opened rows %d to %d although GOMAXPROCS is below", before, r)
	}
}
