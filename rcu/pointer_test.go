package rcu

import (
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
)

// version is an object that may be used until closed is set. The race detector
// sees both fields.
type version struct {
	n      int
	closed bool
}

func (v *version) close() { v.closed = true }

func TestAZeroPointerIsNilAndUsable(t *testing.T) {
	var p Pointer[version]
	a, b := &version{n: 1}, &version{n: 2}
	Read(func(g Guard) {
		if p.Load(g) != nil {
			t.Error("a zero Pointer has an object")
		}
		p.Store(a)
		if p.Load(g) != a || p.Swap(b) != a || p.Load(g) != b || p.Swap(nil) != b || p.Load(g) != nil {
			t.Error("Load and Swap return something other than what was stored last")
		}
	})
	Barrier()
	if a.closed || b.closed {
		t.Error("Store or Swap freed an object")
	}
}

func TestReplaceFreesTheOldObjectAfterItsReaders(t *testing.T) {
	var p Pointer[version]
	old, next := &version{n: 1}, &version{n: 2}
	p.Store(old)
	var freed atomic.Int32
	g := ReadLock()
	if p.Load(g) != old {
		t.Fatal("the first object is not there")
	}
	p.Replace(next, func(v *version) { // returns, though a reader has the old object
		if v != old {
			t.Errorf("free is called with %+v, want the old object", v)
		}
		freed.Add(1)
	})
	if p.Load(g) != next {
		t.Error("the next object can't be seen when Replace has returned")
	}
	for range 100 {
		runtime.Gosched()
	}
	if freed.Load() != 0 {
		t.Error("free was called while a reader had the old object")
	}
	g.Unlock()
	Barrier()
	if n := freed.Load(); n != 1 {
		t.Errorf("free was called %d times, want once", n)
	}
}

func TestReplaceCallsNoFreeWithoutAnOldObject(t *testing.T) {
	var p Pointer[version]
	p.Replace(&version{}, func(v *version) { t.Errorf("free is called with %v", v) })
	Barrier()
}

func TestReplaceWithoutAFreeIsStore(t *testing.T) {
	var p Pointer[version]
	p.Store(&version{n: 1})
	next := &version{n: 2}
	p.Replace(next, nil)
	Barrier()
	Read(func(g Guard) {
		if p.Load(g) != next {
			t.Error("the next object is not there")
		}
	})
}

func TestReplaceByItselfPanicsAndFreesNothing(t *testing.T) {
	var p Pointer[version]
	v := &version{}
	p.Store(v)
	testkit.Panics(t, func() { p.Replace(v, (*version).close) }, "quiesce/rcu: Pointer.Replace", "by itself")
	Barrier()
	if v.closed {
		t.Error("the object was freed")
	}
	p.Replace(nil, (*version).close)
	p.Replace(nil, (*version).close) // nothing to free is no mistake
	Barrier()
	if !v.closed {
		t.Error("the object was not freed")
	}
}

// Every object is freed once, no matter who replaces it, and none under a reader. A
// reader sees versions in the order in which one updater made them. With -race
// the reads of an object and its free are ordered.
func TestConcurrentReplacesFreeEachObjectOnce(t *testing.T) {
	const updaters, each = 3, 200
	var p Pointer[version]
	var frees [updaters * each]atomic.Int32
	var stop atomic.Bool
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last [updaters]int
			for !stop.Load() {
				g := ReadLock()
				if v := p.Load(g); v != nil {
					by, n := v.n/each, v.n%each
					if n < last[by] {
						t.Errorf("version %d of updater %d after its version %d", n, by, last[by])
					}
					last[by] = n
					if v.closed {
						t.Error("a reader found an object that was freed")
					}
				}
				g.Unlock()
				runtime.Gosched()
			}
		})
	}
	for u := range updaters {
		writers.Go(func() {
			for i := range each {
				p.Replace(&version{n: u*each + i}, func(v *version) {
					v.closed = true
					frees[v.n].Add(1)
				})
			}
		})
	}
	writers.Wait()
	stop.Store(true)
	readers.Wait()
	last := p.Swap(nil)
	Barrier()
	for n := range frees {
		want := int32(1)
		if n == last.n {
			want = 0
		}
		if got := frees[n].Load(); got != want {
			t.Errorf("object %d was freed %d times, want %d", n, got, want)
		}
	}
}

func TestLoadWithAGuardThatProvesNothingIsReportedByLockdep(t *testing.T) {
	if !depcheck.Tagged {
		t.Skip("guards are checked with -tags lockdep")
	}
	depcheck.Reset() // it reports a fault once
	var reports []string
	defer depcheck.SetReporter(func(r *depcheck.Report) { reports = append(reports, r.Text) })()
	var p Pointer[version]
	var zero Guard
	p.Load(zero)
	g := ReadLock()
	p.Load(g) // is right
	g.Unlock()
	p.Load(g)
	if len(reports) != 2 || !strings.Contains(reports[0], "zero rcu.Guard") ||
		!strings.Contains(reports[1], "after its Unlock") || !strings.Contains(reports[1], "pointer_test.go") {
		t.Errorf("reports: %q", reports)
	}
}
