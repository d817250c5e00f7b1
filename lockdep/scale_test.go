package lockdep_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/lockdep"
)

// forest is a program of many classes, whose numbers are their order.
type forest struct {
	w    *witness
	r    *rand.Rand
	maps []depcheck.Map
	took int // acquisitions
}

func newForest(t *testing.T, classes int) *forest {
	f := &forest{w: newWitness(t), r: rand.New(rand.NewPCG(3, 0)), maps: make([]depcheck.Map, classes)}
	for i := range f.maps {
		f.maps[i].Init("class " + strconv.Itoa(i))
	}
	// They are first seen in any order.
	for _, i := range f.r.Perm(classes) {
		f.take([]int{i}, nil)
	}
	return f
}

// take takes the locks one after the other, and releases them.
func (f *forest) take(classes []int, recursive func(class int) bool) {
	for _, c := range classes {
		how := depcheck.Exclusive
		if recursive != nil && recursive(c) {
			how = depcheck.Read | depcheck.Recursive
		}
		f.maps[c].Acquire(oracleType, how)
		f.maps[c].Acquired()
		f.took++
	}
	for _, c := range classes {
		f.maps[c].Release(true)
	}
}

// some chooses n different numbers from lo to hi-1, in order.
func (f *forest) some(n, lo, hi int) []int {
	var c []int
	for len(c) < n {
		if i := lo + f.r.IntN(hi-lo); !slices.Contains(c, i) {
			c = append(c, i)
		}
	}
	slices.Sort(c)
	return c
}

// The figures of the scale tests.
const (
	scaleClasses      = 1000
	scaleAcquisitions = 100_000
	scaleBound        = time.Minute // absurd: the machine may be busy
)

func (f *forest) measure(t *testing.T, grow func(n int)) {
	t.Helper()
	n := scaleAcquisitions
	if race.Enabled || testing.Short() {
		n /= 10
	}
	before, start := lockdep.ReadStats(), time.Now()
	for f.took < n {
		grow(2 + f.r.IntN(5))
	}
	took := time.Since(start)
	s := lockdep.ReadStats()
	t.Logf("%.2f s: %d acquisitions of %d classes, %d orders, %d chains, %d of which were new",
		took.Seconds(), f.took, s.Classes, s.Orders, s.Chains, s.ChainMisses-before.ChainMisses)
	if took > scaleBound {
		t.Errorf("%v is more than %v", took, scaleBound)
	}
	if s.Orders < n/10 {
		t.Errorf("only %d orders", s.Orders)
	}
	f.quiet(t)
}

// wants checks that there is one report, and clears the list.
func (f *forest) wants(t *testing.T, kind string, classes ...string) {
	t.Helper()
	if len(f.w.reports) != 1 || f.w.reports[0].Kind != kind || !slices.Equal(f.w.reports[0].Classes, classes) {
		for _, r := range f.w.reports {
			t.Errorf("%s of %v", r.Kind, r.Classes)
		}
		t.Errorf("want %s of %v", kind, classes)
	}
	f.w.reports = nil
}

func TestScaleALongCircleIsFoundInALargeGraph(t *testing.T) {
	const long = 300
	f := newForest(t, scaleClasses+long)
	f.measure(t, func(n int) { f.take(f.some(n, 0, scaleClasses), nil) })
	// After all that: a path that is the only one.
	for i := range long {
		f.take([]int{scaleClasses + i - 1, scaleClasses + i}, nil)
	}
	f.quiet(t)
	start := time.Now()
	f.take([]int{scaleClasses + long - 1, scaleClasses}, nil)
	t.Logf("%v for the circle of %d classes", time.Since(start), long)
	var circle []string
	for i := range long {
		circle = append(circle, fmt.Sprint("class ", scaleClasses+i))
	}
	f.wants(t, lockdep.Circular, circle...)
}

// quiet checks that there is no report, and that the graph is in order.
func (f *forest) quiet(t *testing.T) {
	t.Helper()
	if len(f.w.reports) > 0 {
		t.Fatalf("%d reports, the first one:\n%s", len(f.w.reports), f.w.reports[0].Text)
	}
	if err := depcheck.Verify(); err != nil {
		t.Error(err)
	}
}

// The lower tenth of the classes is irq-unsafe, and every fifth of the others
// irq-safe, which is right in this order.
func TestScaleIrqSafeClassesInALargeGraph(t *testing.T) {
	const unsafe = scaleClasses / 10
	f := newForest(t, 0)
	f.maps = make([]depcheck.Map, scaleClasses+1)
	for i := range f.maps {
		f.maps[i].Init("class " + strconv.Itoa(i))
	}
	for _, i := range append(f.r.Perm(scaleClasses), scaleClasses) {
		switch {
		case i < unsafe || i == scaleClasses:
			f.take([]int{i}, nil)
		case i%5 == 0:
			depcheck.HardirqEnter()
			f.take([]int{i}, nil)
			depcheck.HardirqExit()
		}
	}
	depcheck.HardirqsOff()
	f.measure(t, func(n int) { f.take(f.some(n, 0, scaleClasses), nil) })
	// From some safe class before this one to one that is unsafe.
	from := scaleClasses - 1
	f.take([]int{from, scaleClasses}, nil)
	depcheck.HardirqsOn()
	if len(f.w.reports) != 1 || f.w.reports[0].Kind != lockdep.UnsafeOrder || f.w.reports[0].Classes[3] != fmt.Sprint("class ", scaleClasses) {
		t.Errorf("%d reports, want that of the unsafe class after safe ones", len(f.w.reports))
	}
}

// Every tenth class is only ever taken as a recursive reader, in any order with
// the others: that makes circles everywhere, none of which is a deadlock.
func TestScaleCirclesOfRecursiveReadersInALargeGraph(t *testing.T) {
	f := newForest(t, 0)
	f.maps = make([]depcheck.Map, scaleClasses)
	for i := range f.maps {
		f.maps[i].Init("class " + strconv.Itoa(i))
	}
	recursive := func(class int) bool { return class%10 == 0 }
	for _, i := range f.r.Perm(scaleClasses) {
		f.take([]int{i}, recursive)
	}
	f.measure(t, func(n int) {
		c := f.some(n, 0, scaleClasses)
		for i := range c {
			if recursive(c[i]) {
				// To another place.
				j := f.r.IntN(n)
				r := c[i]
				c = slices.Insert(slices.Delete(c, i, i+1), j, r)
			}
		}
		f.take(c, recursive)
	})
	// A writer of one of them is in a circle with what it waits for.
	f.take([]int{1, 10}, nil)
	f.take([]int{10, 1}, nil)
	if len(f.w.reports) == 0 || f.w.reports[0].Kind != lockdep.Circular {
		t.Errorf("%d reports, want a circle", len(f.w.reports))
	}
}
