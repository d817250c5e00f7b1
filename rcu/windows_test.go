package rcu

import (
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

// Tests that hold a window open which is some nanoseconds wide otherwise.

const ownReader = "its own rcu.Reader"

// An entry that is still in the reader's store buffer when the driver looks.
// What the section then loads must be new, which is what membarrier A is for.
func TestRB_AnEntryInTheStoreBufferIsNotOverlooked(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	r := NewReader() // of the one reader at a time
	defer r.Close()
	for _, f := range slices.Concat(flavours, []flavour{{ownReader, false, func(fn func()) {
		r.ReadLock()
		fn()
		r.Unlock()
	}}}) {
		if f.name != "preempt.Disable" && f.name != "rcu.ReadLock" && f.name != ownReader {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			var object [2]word
			var published word
			var stop atomic.Bool
			var bad, sections atomic.Int64
			reader := testkit.Async(func() {
				b := testkit.NewBacklog()
				seen := 0
				section := func() {
					o := &object[load(&published.v)]
					for range 100 {
						if load(&o.v) == poison {
							seen++
						}
					}
				}
				for !stop.Load() {
					b.Store()
					f.section(section)
					sections.Add(1)
				}
				bad.Store(int64(seen))
			})
			k := replaceObjects(&object, &published, &sections)
			stop.Store(true)
			<-reader
			if n := bad.Load(); n > 0 {
				t.Errorf("%d times in %d sections a reader saw its object after the grace period, of %d", n, sections.Load(), k-1)
			}
		})
	}
}

// Exits are summed before entries. In the opposite order, a reader that comes and
// goes between the two sums would be counted for one that stays. Here one does, as soon
// as the driver is at the membarrier between them.
func TestRA_AShortReaderDoesNotStandInForALongOne(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	early := 0
	for begin := time.Now(); time.Since(begin) < 4*stressTime; {
		g := ReadLock()
		before := sys.Membarriers()
		done := testkit.Async(Synchronize)
		for sys.Membarriers() == before {
		}
		h := ReadLock()
		h.Unlock()
		testkit.SpinFor(500 * time.Microsecond)
		if testkit.IsClosed(done) {
			early++
		}
		g.Unlock()
		<-done
	}
	if early > 0 {
		t.Errorf("%d grace periods ended although a section from before went on", early)
	}
}

// The QS of a P changes with the outermost exit only.
func TestRA_APinnedSectionLastsBeyondInnerOnes(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	overlapped := 0 // rounds in which the section went on when the grace period was asked for
	for try := 0; overlapped < 20 && try < 1000; try++ {
		var ended atomic.Bool
		began := make(chan struct{})
		reader := testkit.Async(func() {
			p := preempt.Disable()
			close(began)
			// For a bounded time: until then the world can't be stopped.
			for end := sys.Nanotime() + int64(2*time.Millisecond); sys.Nanotime() < end; {
				q := preempt.Disable()
				q.Enable()
			}
			ended.Store(true)
			p.Enable()
		})
		<-began
		if !ended.Load() {
			overlapped++
		}
		Synchronize()
		if !ended.Load() {
			t.Fatal("the grace period ended with an inner section")
		}
		<-reader
	}
	if overlapped == 0 {
		t.Error("no section lasted until the grace period was asked for")
	}
}

// A reader left on a P that is gone and on which no reader entered: its exit is
// above the mark, until the driver looks for such Ps.
func TestRD_ExitOnAPThatIsGoneIsFound(t *testing.T) {
	g := ReadLock()
	gone := max(percpu.Readers(), runtime.GOMAXPROCS(0)) + 20
	exits := &percpu.Of(gone).Unlock[g.idx&guardIndex]
	store(exits, load(exits)+1) // g.Unlock, as if on that P
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}
