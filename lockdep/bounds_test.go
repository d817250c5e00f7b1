package lockdep_test

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/preempt"
	"quiesce/rcu"
)

// filled is a lockdep one of whose tables gets full.
type filled struct {
	*witness
	t      *testing.T
	before runtime.MemStats
}

func newFilled(t *testing.T) *filled {
	f := &filled{witness: newWitness(t), t: t}
	runtime.GC()
	runtime.ReadMemStats(&f.before)
	return f
}

// named returns n locks of as many classes.
func (f *filled) named(prefix string, n int) []depcheck.Map {
	maps := make([]depcheck.Map, n)
	for i := range maps {
		maps[i].Init(prefix + strconv.Itoa(i))
	}
	return maps
}

func hold(m *depcheck.Map, how depcheck.How) {
	m.Acquire(oracleType, how)
	m.Acquired()
}

func holdAll(maps ...*depcheck.Map) {
	for _, m := range maps {
		hold(m, depcheck.Exclusive)
	}
	for _, m := range maps {
		m.Release(true)
	}
}

// full checks that it was reported once that the table is full, in these
// words, and nothing else of any kind.
func (f *filled) full(text string) {
	f.t.Helper()
	if len(f.reports) != 1 || f.reports[0].Kind != lockdep.TableFull || f.reports[0].Text != "lockdep: table full: "+text {
		for i, r := range f.reports {
			f.t.Errorf("report %d of %d: %s", i+1, len(f.reports), r.Text)
			if i > 2 {
				break
			}
		}
		f.t.Fatalf("want: lockdep: table full: %s", text)
	}
	f.reports = nil
}

// checks takes the two locks in the other order than before.
func (f *filled) checks(a, b *depcheck.Map) {
	f.t.Helper()
	holdAll(b, a)
	if len(f.reports) != 1 || f.reports[0].Kind != lockdep.Circular || !slices.Equal(f.reports[0].Classes, []string{a.Name(), b.Name()}) {
		f.t.Errorf("%d reports, want one, of the circle of %s and %s", len(f.reports), a.Name(), b.Name())
	}
	f.reports = nil
}

// bounded checks that memory has not grown by more than that since the start.
func (f *filled) bounded(bytes uint64) {
	f.t.Helper()
	if race.Enabled {
		return // the detector's shadows
	}
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	if now.HeapAlloc > f.before.HeapAlloc+bytes {
		f.t.Errorf("%d KiB are live, and were %d", now.HeapAlloc>>10, f.before.HeapAlloc>>10)
	}
}

func TestBoundClassesBeyondTheTableAreNotChecked(t *testing.T) {
	f := newFilled(t)
	known := f.named("known ", 2)
	holdAll(&known[0], &known[1])
	maps := f.named("c", depcheck.MaxClasses+1000)
	runtime.GC() // their names are the test's
	runtime.ReadMemStats(&f.before)
	for i := range maps {
		holdAll(&maps[i])
	}
	f.full("lock classes: " + strconv.Itoa(depcheck.MaxClasses) + "; locks of further ones are not checked")
	if n := lockdep.ReadStats().Classes; n != depcheck.MaxClasses {
		t.Errorf("%d classes", n)
	}
	f.checks(&known[0], &known[1])

	// Locks without a class leave no record, and holding them is not reported.
	last := &maps[len(maps)-1]
	for range 1000 {
		wait(func() { holdAll(last) })
	}
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
	hold(last, depcheck.Exclusive)
	if !last.Held() {
		t.Error("a lock of which nothing is known is reported as not held")
	}
	if h := last.Release(true); h != depcheck.Ours {
		t.Errorf("its release is %d", h)
	}
	for _, r := range f.reports {
		t.Error(r.Text)
	}
	f.bounded(8 << 20)
}

// wait runs fn on another goroutine.
func wait(fn func()) { <-testkit.Async(fn) }

func TestBoundOrdersBeyondTheTableAreNotLearned(t *testing.T) {
	f := newFilled(t)
	const n = 600
	maps := f.named("c", n)
	// A chain of recursive readers makes many orders at once: all these take
	// less than the table of chains.
	rest := maps
	for block := range slices.Chunk(maps, 40) {
		for i := range block {
			hold(&block[i], depcheck.Read|depcheck.Recursive)
		}
		rest = rest[len(block):]
		for i := range rest {
			holdAll(&rest[i])
		}
		for i := range block {
			block[i].Release(true)
		}
	}
	f.full("lock orders: " + strconv.Itoa(depcheck.MaxOrders) + "; further ones are not learned")
	if got := lockdep.ReadStats().Orders; got != depcheck.MaxOrders {
		t.Errorf("%d orders", got)
	}
	f.checks(&maps[0], &maps[1])
	f.checks(&maps[3], &maps[n-1])
	holdAll(&maps[n-2], &maps[n-1])
	holdAll(&maps[n-1], &maps[n-2]) // the other order was not learned
	if len(f.reports) > 0 {
		t.Error(f.reports[0].Text)
	}
	f.bounded(16 << 20)
	if err := depcheck.Verify(); err != nil {
		t.Error(err)
	}
}

func TestBoundChainsBeyondTheTableAreCheckedAfresh(t *testing.T) {
	f := newFilled(t)
	const n = 90 // n*(n-1)*(n-2)/6 chains of three
	maps := f.named("c", n)
	for i := range n {
		for j := i + 1; j < n; j++ {
			for k := j + 1; k < n; k++ {
				holdAll(&maps[i], &maps[j], &maps[k])
			}
		}
	}
	f.full("lock chains: " + strconv.Itoa(depcheck.MaxChains) + "; further ones are checked afresh each time, which is slow")
	if got := lockdep.ReadStats().Chains; got != depcheck.MaxChains {
		t.Errorf("%d chains", got)
	}
	f.checks(&maps[0], &maps[1])
	// Nothing goes unchecked: what is new is learned.
	more := f.named("new ", 2)
	holdAll(&more[0], &more[1])
	before := lockdep.ReadStats().ChainMisses
	holdAll(&more[0], &more[1])
	if after := lockdep.ReadStats().ChainMisses; after == before {
		t.Error("a chain for which there is no room was found")
	}
	f.checks(&more[0], &more[1])
	f.bounded(16 << 20)
}

// descend calls fn from as many places as there are paths.
//
//go:noinline
func descend(depth, path int, fn func()) {
	switch {
	case depth == 0:
		fn()
	case path&3 == 0:
		descend(depth-1, path>>2, fn)
	case path&3 == 1:
		descend(depth-1, path>>2, fn)
	case path&3 == 2:
		descend(depth-1, path>>2, fn)
	default:
		descend(depth-1, path>>2, fn)
	}
}

func TestBoundStacksBeyondTheTableAreLeftOut(t *testing.T) {
	f := newFilled(t)
	const n = 300 // n*(n-1)/2 orders
	maps := f.named("c", n)
	i, j := 0, 1
	for path := range depcheck.MaxStacks + 2000 {
		descend(8, path, func() { holdAll(&maps[i], &maps[j]) })
		if j++; j == n {
			i, j = i+1, i+2
		}
	}
	f.full("stacks: " + strconv.Itoa(depcheck.MaxStacks) + "; further orders have none in reports")
	if got := lockdep.ReadStats().Stacks; got != depcheck.MaxStacks {
		t.Errorf("%d stacks", got)
	}
	f.checks(&maps[0], &maps[1])
	more := f.named("new ", 2)
	descend(6, 5, func() { holdAll(&more[0], &more[1]) })
	holdAll(&more[1], &more[0])
	if len(f.reports) != 1 || f.reports[0].Kind != lockdep.Circular || !strings.Contains(f.reports[0].Text, "(not known)") {
		t.Errorf("%d reports, want one of a circle with a stack that is not known", len(f.reports))
	}
	f.bounded(16 << 20)
}

func TestBoundFaultsBeyondTheTableAreNotReported(t *testing.T) {
	f := newFilled(t)
	const n = 100 // n*(n-1)/2 circles
	maps := f.named("c", n)
	for i := range n {
		for j := i + 1; j < n; j++ {
			holdAll(&maps[i], &maps[j])
		}
	}
	for i := range n {
		for j := i + 1; j < n; j++ {
			holdAll(&maps[j], &maps[i])
		}
	}
	faults := n * (n - 1) / 2
	if len(f.reports) != depcheck.MaxFaults+1 {
		t.Fatalf("%d reports, want %d and that there is no room for more", len(f.reports), depcheck.MaxFaults)
	}
	f.reports = slices.DeleteFunc(f.reports, func(r *lockdep.Report) bool { return r.Kind == lockdep.Circular })
	f.full("faults: " + strconv.Itoa(depcheck.MaxFaults) + "; further ones are not reported")
	if s := lockdep.ReadStats().Suppressed; s < uint64(faults-depcheck.MaxFaults) {
		t.Errorf("%d faults are counted as suppressed", s)
	}
	f.bounded(16 << 20)
}

func TestBoundGoroutinesBeyondTheTableAreNotChecked(t *testing.T) {
	f := newFilled(t)
	known := f.named("known ", 2)
	holdAll(&known[0], &known[1])
	maps := f.named("c", 2)
	// They end with a lock, so that they need not all be there at the same time.
	hold(&known[0], 0) // this one's place
	for range depcheck.MaxTasks + 1000 {
		wait(func() { hold(&maps[0], depcheck.Read|depcheck.Recursive) })
	}
	f.full("goroutines that hold locks: " + strconv.Itoa(depcheck.MaxTasks) + "; locks of further ones are not checked")
	if n := lockdep.ReadStats().Goroutines; n != depcheck.MaxTasks {
		t.Errorf("%d goroutines", n)
	}
	wait(func() {
		hold(&maps[1], 0)
		if !maps[1].Held() {
			t.Error("a lock of which nothing is known is reported as not held")
		}
		if h := maps[1].Release(true); h != depcheck.Ours {
			t.Errorf("its release is %d", h)
		}
		depcheck.HardirqsOff()
		depcheck.BHOff(true)
		depcheck.BHOn(true)
		depcheck.HardirqsOn()
		lockdep.MightSleep()
	})
	known[0].Release(true)
	hold(&known[0], 0)
	f.bounded(tasksBytes)
	known[0].Release(true)
	f.checks(&known[0], &known[1]) // by one that had a place
	lockdep.CheckExited()          // makes room
	if len(f.reports) != 1 || f.reports[0].Kind != lockdep.StillHeld {
		t.Errorf("%d reports, want one of locks that are still held", len(f.reports))
	}
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
	f.reports = nil
	wait(func() {
		holdAll(&maps[0], &maps[1])
		f.checks(&maps[0], &maps[1])
	})
	f.bounded(16 << 20)
}

// tasksBytes is what so many goroutines' records may take.
const tasksBytes = depcheck.MaxTasks * 2048

func TestBoundLocksBeyondThoseOfAGoroutineAreNotChecked(t *testing.T) {
	f := newFilled(t)
	maps := f.named("c", depcheck.MaxHeld+20)
	for i := range maps {
		hold(&maps[i], 0)
	}
	f.full("locks held by one goroutine: " + strconv.Itoa(depcheck.MaxHeld) + "; further ones are not checked")
	for i := range maps {
		if !maps[i].Held() {
			t.Errorf("lock %d is not held", i)
		}
	}
	// The order in which they end does not matter.
	for i := range maps {
		if h := maps[(i*7)%len(maps)].Release(true); h != depcheck.Ours {
			t.Errorf("the release of lock %d is %d", (i*7)%len(maps), h)
		}
	}
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
	f.checks(&maps[3], &maps[4])
	f.checks(&maps[depcheck.MaxHeld-2], &maps[depcheck.MaxHeld-1])
	for _, r := range f.reports {
		t.Error(r.Text)
	}
	f.bounded(1 << 20)
}

// A table that is full is reported once, until a Reset.
func TestBoundIsReportedAgainAfterReset(t *testing.T) {
	f := newFilled(t)
	for range 2 {
		maps := f.named("c", depcheck.MaxHeld+1)
		for range 2 {
			<-testkit.Async(func() {
				for i := range maps {
					hold(&maps[i], depcheck.Read|depcheck.Recursive)
				}
				for i := range maps {
					maps[i].Release(true)
				}
			})
		}
		f.full("locks held by one goroutine: " + strconv.Itoa(depcheck.MaxHeld) + "; further ones are not checked")
		lockdep.Reset()
	}
}

// Locks that pin and have no record are not mistaken for a pinned section in which
// nothing may wait.
func TestBoundLocksWithoutARecordAreNoFaultOfOthers(t *testing.T) {
	f := newFilled(t)
	spins := &depcheck.Type{Name: "spins", Inner: depcheck.WaitConfig}
	maps := f.named("c", depcheck.MaxHeld+5)
	var pins []preempt.Pinned
	for i := range maps {
		maps[i].Acquire(spins, depcheck.Pins)
		pins = append(pins, preempt.Disable())
		maps[i].Acquired()
	}
	for i := range 3 { // room for more
		maps[i].Release(true)
	}
	more := f.named("more ", 2)
	for i := range more {
		more[i].Acquire(spins, 0)
		more[i].Release(true)
	}
	for i := len(maps) - 1; i >= 0; i-- {
		if i >= 3 {
			maps[i].Release(true)
		}
		pins[i].Enable()
	}
	if !lockdep.Tagged { // which sees the calls of Disable, too
		f.full("locks held by one goroutine: " + strconv.Itoa(depcheck.MaxHeld) + "; further ones are not checked")
	} else if len(f.reports) == 0 || f.reports[0].Kind != lockdep.InvalidWaitContext {
		t.Errorf("%d reports", len(f.reports))
	}
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
}

// Sections that have no record are not missed, and do not disturb others.
func TestBoundSectionsWithoutARecordAreKnownNothingOf(t *testing.T) {
	f := newFilled(t)
	var guards []rcu.Guard
	for range depcheck.MaxHeld + 5 {
		guards = append(guards, rcu.ReadLock())
	}
	for _, g := range guards[:depcheck.MaxHeld] {
		g.Unlock()
	}
	if !depcheck.InReader() {
		t.Error("in no section, and five of them have not ended")
	}
	for _, g := range guards[depcheck.MaxHeld:] {
		g.Unlock()
	}
	if lockdep.Tagged {
		f.full("locks held by one goroutine: " + strconv.Itoa(depcheck.MaxHeld) + "; further ones are not checked")
	} else if len(f.reports) > 0 {
		t.Error(f.reports[0].Text)
	}
	if n := lockdep.ReadStats().Goroutines; n != 0 {
		t.Errorf("%d goroutines hold something", n)
	}
	if lockdep.Tagged == depcheck.InReader() {
		t.Errorf("InReader is %v after all sections", !lockdep.Tagged)
	}
}
