package rcu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// Tests that hold a window open which is some nanoseconds wide otherwise.

// backlog keeps the store buffer of a processor busy: stores to lines that are
// in no cache. What is stored after them becomes visible some hundred
// nanoseconds later, while loads go on.
type backlog struct {
	lines []byte
	at    int
}

func newBacklog() *backlog { return &backlog{lines: make([]byte, 64<<20)} }

//go:norace
func (b *backlog) store() {
	for range 40 {
		b.at = (b.at + 1_000_003*64) & (len(b.lines) - 1)
		b.lines[b.at] = 1 // no load, which would be waited for
	}
}

// An entry that is still in the reader's store buffer when the driver looks.
// What the section then loads must be new, which is what membarrier A is for.
func TestRB_AnEntryInTheStoreBufferIsNotOverlooked(t *testing.T) {
	procs(t, max(2, runtime.GOMAXPROCS(0)))
	for _, f := range flavours {
		if f.name != "preempt.Disable" && f.name != "rcu.ReadLock" {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			var object [2]word
			var published word
			var stop atomic.Bool
			var bad, sections atomic.Int64
			reader := async(func() {
				b := newBacklog()
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
					b.store()
					f.section(section)
					sections.Add(1)
				}
				bad.Store(int64(seen))
			})
			k := uint64(1)
			for begin := time.Now(); lasts(begin, sections.Load() > 1000); k++ {
				store(&object[k&1].v, k)
				store(&published.v, k&1)
				Synchronize()
				store(&object[k&1^1].v, poison)
			}
			stop.Store(true)
			<-reader
			if n := bad.Load(); n > 0 {
				t.Errorf("%d times in %d sections a reader saw its object after the grace period, of %d", n, sections.Load(), k-1)
			}
		})
	}
}

// Exits are summed before entries. The other way round a reader that comes and
// goes between the two sums stands in for one that stays. Here one does, as soon
// as the driver is at the membarrier between them.
func TestRA_AShortReaderDoesNotStandInForALongOne(t *testing.T) {
	procs(t, max(4, runtime.GOMAXPROCS(0)))
	early := 0
	for begin := time.Now(); time.Since(begin) < 4*stressTime; {
		g := ReadLock()
		before := sys.Membarriers()
		done := async(Synchronize)
		for sys.Membarriers() == before {
		}
		h := ReadLock()
		h.Unlock()
		spinFor(500 * time.Microsecond)
		if isClosed(done) {
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
	procs(t, max(4, runtime.GOMAXPROCS(0)))
	overlapped := 0 // rounds in which the section went on when the grace period was asked for
	for try := 0; overlapped < 20 && try < 1000; try++ {
		var ended atomic.Bool
		began := make(chan struct{})
		reader := async(func() {
			p := preempt.Disable()
			close(began)
			// For a bounded time: the world can't be stopped meanwhile.
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

// A reader left on a P that is gone and on which nobody entered: its exit is
// above the mark, until the driver looks for such Ps.
func TestRD_ExitOnAPThatIsGoneIsFound(t *testing.T) {
	g := ReadLock()
	gone := max(percpu.Readers(), runtime.GOMAXPROCS(0)) + 20
	exits := &percpu.Of(gone).Unlock[g.idx&1]
	store(exits, load(exits)+1) // g.Unlock, as if on that P
	within(t, "the grace period", async(Synchronize))
}
