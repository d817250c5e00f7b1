package rcu

import (
	"encoding/json"
	"math/bits"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
)

// makeReader is where the Readers of the tests of reports are made.
func makeReader() *Reader { return NewReader() }

// registered returns the number of Readers that grace periods look at.
func registered() (n int) {
	if chunks := registry.chunks.Load(); chunks != nil {
		for _, c := range *chunks {
			n += bits.OnesCount64(c.live.Load())
		}
	}
	return n
}

// lose drops a new Reader inside a section, and returns its guard when the
// collector has found out.
func lose(newReader func() *Reader) (g Guard) {
	id := make(chan uint32)
	go func() { // no frame of this goroutine has the Reader
		r := newReader()
		g = r.ReadLock()
		id <- r.id
	}()
	s := registry.slot(<-id)
	for !s.dropped.Load() {
		runtime.GC()
		time.Sleep(time.Millisecond)
	}
	return g
}

// stays fails the test if done is closed soon: a grace period has ended that a
// section holds up.
func stays(t *testing.T, what string, done <-chan struct{}) {
	t.Helper()
	for range 100 {
		runtime.Gosched()
	}
	time.Sleep(2 * time.Millisecond)
	if testkit.IsClosed(done) {
		t.Error("the grace period ended: " + what)
	}
}

func TestRA_SectionsOfAReaderLastUntilTheOutermostEnds(t *testing.T) {
	r := NewReader()
	defer r.Close()
	r.ReadLock()
	r.ReadLock()
	g := r.ReadLock()
	done := testkit.Async(Synchronize)
	stays(t, "with three sections open", done)
	g.Unlock()
	stays(t, "with two sections open", done)
	r.Unlock()
	stays(t, "with the outermost open", done)
	r.Unlock()
	testkit.Within(t, "the grace period", done)
}

// A goroutine that sleeps in its section wakes up on whatever thread.
func TestRA_ASectionOfAReaderThatSleptOnOtherThreadsIsWaitedFor(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	for _, u := range updaters {
		var ended atomic.Bool
		inside := make(chan struct{})
		reader := testkit.Async(func() {
			r := NewReader()
			defer r.Close()
			r.ReadLock()
			close(inside)
			for range 10 {
				time.Sleep(200 * time.Microsecond)
				runtime.Gosched()
			}
			ended.Store(true)
			r.Unlock()
		})
		<-inside
		u.wait()
		if !ended.Load() {
			t.Errorf("%s returned while a registered reader slept", u.name)
		}
		<-reader
	}
}

// A cookie is not done, however often it is polled, and is once the section ends.
func TestPollIsFalseAsLongAsASectionOfAReaderLasts(t *testing.T) {
	r := NewReader()
	defer r.Close()
	r.ReadLock()
	c := StartPoll()
	for range testkit.During(5 * time.Millisecond) {
		if Poll(c) {
			t.Fatal("done inside of a section from before")
		}
		runtime.Gosched()
	}
	r.Unlock()
	testkit.Eventually(t, 30*time.Second, "the grace period", func() bool { return Poll(c) })
}

func TestRD_IdleAndClosedReadersHoldUpNothing(t *testing.T) {
	var rs []*Reader
	for range 200 {
		r := NewReader()
		r.ReadLock()
		r.Unlock()
		rs = append(rs, r)
	}
	testkit.Within(t, "a grace period over idle Readers", testkit.Async(Synchronize))
	for _, r := range rs {
		r.Close()
	}
	testkit.Within(t, "a grace period over closed Readers", testkit.Async(Synchronize))
}

// While a driver looks at a Reader, as in the next tests, no grace period runs.
func withDriver(fn func()) {
	gp.mu.Lock()
	defer gp.mu.Unlock()
	fn()
}

// waitsForLocked reports whether the driver that saw the Readers waits for anyone yet.
// gp.mu is locked.
func waitsForLocked() bool {
	return slices.ContainsFunc(gp.registered, waitedReader.reads)
}

// The driver waits for the section that it saw, not for the next one: a Reader
// that is in some section whenever the driver looks does not hold it up.
func TestRD_ALaterSectionOfAReaderIsNotWaitedFor(t *testing.T) {
	r := NewReader()
	defer r.Close()
	withDriver(func() {
		r.ReadLock()
		seeRegisteredLocked()
		if !waitsForLocked() {
			t.Error("a section is not waited for")
		}
		r.ReadLock()
		r.Unlock()
		if !waitsForLocked() {
			t.Error("an inner section's end is taken for the outermost's")
		}
		r.Unlock()
		r.ReadLock()
		if waitsForLocked() {
			t.Error("a later section is waited for")
		}
		r.Unlock()
	})
}

// The next owner of a slot is no reader of the time before.
func TestRD_TheNextOwnerOfASlotIsNotWaitedFor(t *testing.T) {
	withDriver(func() {
		first := NewReader()
		first.ReadLock()
		seeRegisteredLocked()
		first.Unlock()
		first.Close()
		second := NewReader()
		if second.id != first.id {
			t.Fatalf("the slot that was closed last is not used again: %d, %d", second.id, first.id)
		}
		second.ReadLock()
		if waitsForLocked() {
			t.Error("the next owner's section is waited for")
		}
		second.Unlock()
		second.Close()
	})
}

func TestASlotIsUsedAgainAfterClose(t *testing.T) {
	before := registered()
	for range 3 * chunkSlots {
		r := NewReader()
		r.ReadLock()
		r.Unlock()
		r.Close()
	}
	if n := registered(); n != before {
		t.Errorf("%d Readers are registered, want %d", n, before)
	}
}

// Guards of different Readers and of different owners of a slot differ.
func TestManyReadersAtOnce(t *testing.T) {
	n := 5*chunkSlots + 3
	if depcheck.Tagged {
		n = 40 // lockdep knows 48 sections of a goroutine
	}
	before := registered()
	var rs []*Reader
	guards := map[Guard]bool{}
	for range n {
		r := NewReader()
		rs = append(rs, r)
		g := r.ReadLock()
		guards[Guard{idx: g.idx}] = true
	}
	if len(guards) != n || registered() != before+n {
		t.Errorf("%d different guards, %d more Readers registered; want %d", len(guards), registered()-before, n)
	}
	for i, r := range rs { // each one is waited for
		done := testkit.Async(Synchronize)
		if i%50 == 0 {
			stays(t, "with Readers in sections", done)
		}
		if i < n-1 && testkit.IsClosed(done) {
			t.Error("the grace period ended before the last section")
		}
		r.Unlock()
		r.Close()
		if i == n-1 {
			testkit.Within(t, "the grace period", done)
		}
	}
}

// Readers come and go while grace periods look for them, and what they loaded
// stays as it was until they leave.
func TestRA_ReadersThatRegisterAndCloseWhileGracePeriodsScan(t *testing.T) {
	testkit.AtLeastProcs(t, 4)
	var object [2]word
	var published word
	store(&object[0].v, 1)
	var stop atomic.Bool
	var bad, sections atomic.Int64
	readers := testkit.AsyncN(4, func(i int) {
		for !stop.Load() {
			r := NewReader()
			for range i + 1 {
				r.ReadLock()
				look(&object, &published, &bad)
				r.Unlock()
				sections.Add(1)
			}
			r.Close()
		}
	})
	k := replaceObjects(&object, &published, &sections)
	stop.Store(true)
	<-readers
	if bad.Load() > 0 {
		t.Errorf("%d times a reader saw its object after the grace period, of %d, in %d sections", bad.Load(), k-1, sections.Load())
	}
}

func TestAReaderOfWhichNothingIsLeftIsClosed(t *testing.T) {
	before := registered()
	<-testkit.Async(func() {
		for range 100 {
			r := NewReader()
			r.ReadLock()
			r.Unlock()
		}
	})
	testkit.Eventually(t, 30*time.Second, "the collector closes dropped Readers", func() bool {
		runtime.GC()
		return registered() <= before
	})
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}

// The section of a Reader that is gone lasts until its guard's Unlock.
func TestRA_TheGuardOfADroppedReaderProtectsUntilItIsUnlocked(t *testing.T) {
	before := registered()
	g := lose(NewReader)
	done := testkit.Async(Synchronize)
	stays(t, "with the guard of a dropped Reader", done)
	for range 3 { // nor does its slot get another owner
		r := NewReader()
		r.Close()
	}
	stays(t, "with the guard of a dropped Reader", done)
	g.Unlock()
	testkit.Within(t, "the grace period", done)
	NewReader().Close() // finds the slot
	if n := registered(); n != before {
		t.Errorf("%d Readers are registered, want %d", n, before)
	}
}

func TestAReaderIsNotClosedInASection(t *testing.T) {
	r := NewReader()
	r.ReadLock()
	testkit.Panics(t, r.Close, "quiesce/rcu: Close of a Reader in its section")
	r.Unlock() // it is as it was
	r.Close()
	r.Close() // harmless
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}

// Its slot may have another owner by now.
func TestACopyOfAReaderIsNotClosedToo(t *testing.T) {
	r := NewReader()
	copied := &Reader{slot: r.slot, id: r.id, guard: r.guard, cleanup: r.cleanup}
	r.Close()
	testkit.Panics(t, copied.Close, "quiesce/rcu: Close of a copy")
	a, b := NewReader(), NewReader()
	defer a.Close()
	defer b.Close()
	if a.id == b.id {
		t.Error("two Readers have one slot")
	}
}

func TestAClosedReaderIsOfNoUse(t *testing.T) {
	r := NewReader()
	r.Close()
	testkit.Panics(t, func() { r.ReadLock() }, "quiesce/rcu: ReadLock", "closed")
	testkit.Panics(t, r.Unlock, "quiesce/rcu: Unlock", "closed")
	testkit.Within(t, "the grace period", testkit.Async(Synchronize))
}

func TestAnUnlockWithoutASectionPanicsAndDoesNotCount(t *testing.T) {
	r := NewReader()
	defer r.Close()
	testkit.Panics(t, r.Unlock, "quiesce/rcu: Unlock", "in no section")
	r.ReadLock()
	r.Unlock()
	testkit.Panics(t, r.Unlock, "in no section")
	r.ReadLock()
	done := testkit.Async(Synchronize)
	stays(t, "after an Unlock too many", done)
	r.Unlock()
	testkit.Within(t, "the grace period", done)
}

func TestTheGuardOfAReaderIsUnlockedOnce(t *testing.T) {
	defer depcheck.SetReporter(func(*depcheck.Report) {})() // lockdep reports it too
	r := NewReader()
	g := r.ReadLock()
	copied := g
	g.Unlock()
	testkit.Panics(t, g.Unlock, "unlocked before")
	testkit.Panics(t, copied.Unlock, "left the section")
	g = r.ReadLock()
	r.Unlock()
	testkit.Panics(t, g.Unlock, "left the section")
	g = r.ReadLock()
	lent := g.lend()
	testkit.Panics(t, lent.Unlock, "lent")
	g.Unlock()
	r.Close()
	testkit.Panics(t, copied.Unlock, "left the section")
	next := NewReader() // of the same slot
	defer next.Close()
	next.ReadLock()
	testkit.Panics(t, copied.Unlock, "left the section")
	done := testkit.Async(Synchronize)
	stays(t, "after the Unlock of an old owner's guard", done)
	next.Unlock()
	testkit.Within(t, "the grace period", done)
}

func TestAReaderMayBeHandedOverInASection(t *testing.T) {
	r := NewReader()
	g := r.ReadLock()
	done := testkit.Async(Synchronize)
	<-testkit.Async(func() {
		g.Adopt()
		r.ReadLock()
		r.Unlock()
		stays(t, "when another goroutine had the Reader", done)
		g.Unlock()
		r.Close()
	})
	testkit.Within(t, "the grace period", done)
}

func TestTheStallOfAReaderIsReportedWithThePlaceWhereItWasMade(t *testing.T) {
	for _, c := range []struct {
		scenario string
		dropped  int
	}{{"stall, registered", 0}, {"stall, registered, dropped", 1}} {
		t.Run(c.scenario, func(t *testing.T) {
			out, err := child(c.scenario)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			_, log, _ := strings.Cut(out, "\n")
			reports := strings.Split(strings.TrimSpace(log), "\n")
			if len(reports) < 2 {
				t.Fatalf("%d reports, want 2 and more\n%s", len(reports), out)
			}
			for _, report := range reports {
				var r struct {
					Msg, Flavour, Made string
					Readers            int
					Dropped            int `json:"dropped_in_section"`
				}
				if err := json.Unmarshal([]byte(report), &r); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(r.Msg, "stall") || r.Flavour != "registered" || r.Readers != 1 || r.Dropped != c.dropped ||
					!strings.Contains(r.Made, "rcu.makeReader ") || !strings.Contains(r.Made, "registered_test.go:") {
					t.Errorf("the report: %s", report)
				}
			}
		})
	}
}
