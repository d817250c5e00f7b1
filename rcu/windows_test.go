package rcu

import (
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// Tests that hold a window open which is some nanoseconds wide otherwise.

const ownReader = "its own rcu.Reader"

// An entry that is still in the reader's store buffer when the driver looks.
// What the section then loads must be new, which is what membarrier A is for.
func TestRB_AnEntryInTheStoreBufferIsNotOverlooked(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	r := NewReader() // of the one reader at a time
	defer r.Close()
	own := flavour{ownReader, false, func(fn func()) {
		r.ReadLock()
		fn()
		r.Unlock()
	}}
	for _, f := range append(flavours[:len(flavours):len(flavours)], own) {
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
