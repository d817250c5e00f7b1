package lockdep_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/fuzztape"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
)

// Locks that only have an order.
var oracleType = &depcheck.Type{Name: "oracle"}

// hows are the verbs in the words of lockdep.
var hows = [acquiring]depcheck.How{
	write:    depcheck.Exclusive,
	read:     depcheck.Read,
	recur:    depcheck.Read | depcheck.Recursive,
	tryWrite: depcheck.Try,
	tryRead:  depcheck.Read | depcheck.Try,
	tryRecur: depcheck.Read | depcheck.Recursive | depcheck.Try,
}

// witness runs programs under lockdep.
type witness struct {
	x       explorer
	hows    [acquiring]depcheck.How // mutants: something else
	skip    func(e event) bool      // mutants: acquisitions that lockdep does not see
	alter   func(*lockdep.Report)   // mutants: a report is not as it was made
	mu      sync.Mutex
	reports []*lockdep.Report
	names   [maxLocks]string
	serial  int
}

// newWitness takes lockdep for the test.
func newWitness(t testing.TB) *witness {
	lockdep.Enable()
	w := &witness{hows: hows}
	capture(t, func(r *lockdep.Report) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.reports = append(w.reports, r)
	})
	return w
}

// forget makes room for another thousand programs, each of which has classes
// of its own.
func (w *witness) forget() {
	if w.serial%1000 == 0 {
		lockdep.Reset()
	}
	w.serial++
}

// show runs each goroutine of the run to its end, one after another, and returns
// the reports.
func (w *witness) show(p *program, events []event) []*lockdep.Report {
	w.forget()
	if w.serial%100 == 0 {
		if err := depcheck.Verify(); err != nil {
			panic(err)
		}
	}
	maps := new([maxLocks]depcheck.Map)
	for i := range maps {
		w.names[i] = strconv.Itoa(w.serial) + string('A'+rune(p.class[i]))
		maps[i].Init(w.names[i])
	}
	w.reports = nil
	for len(events) > 0 {
		n := 1
		for n < len(events) && events[n].g == events[0].g {
			n++
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, e := range events[:n] {
				switch m := &maps[e.lock]; {
				case e.failed:
				case e.verb == unlock:
					m.Release(true)
				case w.skip != nil && w.skip(e):
				default:
					m.Acquire(oracleType, w.hows[e.verb])
					if !e.verb.tries() {
						m.Acquired()
					}
				}
			}
		}()
		<-done
		events = events[n:]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.alter != nil {
		for _, r := range w.reports {
			w.alter(r)
		}
	}
	return w.reports
}

// verdict is the judgement about a program.
type verdict struct {
	deadlock bool
	reported bool
	onlyPath bool   // the deadlock is where a try fails that the first run got
	cause    string // why a program without a deadlock is reported
}

// judge compares the oracle's and lockdep's opinions of the program.
func (w *witness) judge(p *program) (v verdict, err error) {
	var stuck world
	stuck, v.deadlock = w.x.deadlock(p)
	reports, err := w.examine(p, p.run([maxGoroutines]uint8{}))
	if err != nil {
		return v, err
	}
	if v.deadlock && len(reports) == 0 {
		// Where a try fails the program takes another path, with fewer locks.
		// lockdep has to see that path.
		v.onlyPath = true
		if reports, err = w.examine(p, p.run(stuck.failed)); err != nil {
			return v, err
		}
	}
	v.reported = len(reports) > 0
	if v.deadlock && !v.reported {
		return v, fmt.Errorf("(a) it can deadlock, at steps %d, and is not reported:\n%v", stuck.pc, p)
	}
	if v.reported && !v.deadlock {
		v.cause = w.cause(p, reports[0])
	}
	return v, nil
}

// examine checks each report of a run.
func (w *witness) examine(p *program, events []event) ([]*lockdep.Report, error) {
	reports := w.show(p, events)
	if len(reports) == 0 {
		return nil, nil
	}
	deps := p.dependencies(events)
	for _, r := range reports {
		classes, err := w.numbers(p, r)
		if err == nil {
			switch {
			case r.Kind == lockdep.Recursion && len(classes) == 1:
				if !slices.ContainsFunc(deps, func(d dependency) bool {
					return p.class[d.from] == classes[0] && p.class[d.to] == classes[0] && (d.mode != recur || d.held == write)
				}) {
					err = fmt.Errorf("no second lock of the class is waited for")
				}
			case r.Kind == lockdep.Circular && len(classes) > 1:
				if !p.strong(deps, classes) {
					err = fmt.Errorf("that is no strong circle")
				}
			default:
				err = fmt.Errorf("there is nothing of the kind to report")
			}
		}
		if err != nil {
			return nil, fmt.Errorf("(b) %s of %v: %v\n%v\n%s", r.Kind, r.Classes, err, p, r.Text)
		}
	}
	return reports, nil
}

// numbers are the classes of a report.
func (w *witness) numbers(p *program, r *lockdep.Report) (classes []uint8, err error) {
	for _, name := range r.Classes {
		i := slices.Index(w.names[:], name)
		if i < 0 {
			return nil, fmt.Errorf("class %s is none of this program's", name)
		}
		classes = append(classes, p.class[i])
	}
	return classes, nil
}

// strong reports whether each class of the circle was waited for while the one
// before was held, by steps that exclude each other where they meet: a recursive
// reader waits for no reader.
func (p *program) strong(deps []dependency, circle []uint8) bool {
	found := false
	p.around(deps, circle, func(ds []dependency) bool {
		for i, d := range ds {
			if d.mode == recur && ds[(i+1)%len(ds)].held != write {
				return true
			}
		}
		found = true
		return false
	})
	return found
}

// around calls fn with all choices of dependencies that make the circle, until
// it returns false.
func (p *program) around(deps []dependency, circle []uint8, fn func([]dependency) bool) {
	chosen := make([]dependency, 0, len(circle))
	var choose func() bool
	choose = func() bool {
		i := len(chosen)
		if i == len(circle) {
			return fn(chosen)
		}
		for _, d := range deps {
			if p.class[d.from] == circle[i] && p.class[d.to] == circle[(i+1)%len(circle)] {
				chosen = append(chosen[:i], d)
				if !choose() {
					return false
				}
				chosen = chosen[:i]
			}
		}
		return true
	}
	choose()
}

// Causes of reports of programs that can't deadlock, in the order in which they are
// checked.
const (
	oneGoroutine = "the orders are one goroutine's own"
	otherLocks   = "the locks are different ones of a class"
	behindGate   = "a gate lock lets only one of them in"
	noWriter     = "plain readers, and no writer to wait behind"
	otherwise    = "the steps can't come together otherwise"
)

// cause finds out why the program of the report does not deadlock: what all
// choices of dependencies of the circle lack.
func (w *witness) cause(p *program, r *lockdep.Report) string {
	events := p.run([maxGoroutines]uint8{})
	deps := p.dependencies(events)
	circle, err := w.numbers(p, r)
	if err != nil {
		return err.Error()
	}
	apart, same, open, written := false, false, false, false
	p.around(deps, circle, func(ds []dependency) bool {
		for i, d := range ds {
			for _, e := range ds[:i] {
				if len(circle) > 1 && d.g == e.g {
					return true
				}
			}
		}
		apart = true
		for i, d := range ds {
			if d.to != ds[(i+1)%len(ds)].from {
				return true
			}
		}
		same = true
		for i, d := range ds {
			for _, e := range ds[:i] {
				if p.gate(d, e, circle) {
					return true
				}
			}
		}
		open = true
		for i, d := range ds {
			if next := ds[(i+1)%len(ds)]; d.mode == recur && next.held != write || d.mode == read && next.held != write && !p.writes(d.to, d.g, next.g) {
				return true
			}
		}
		written = true
		return false
	})
	switch {
	case !apart:
		return oneGoroutine
	case !same:
		return otherLocks
	case !open:
		return behindGate
	case !written:
		return noWriter
	}
	return otherwise
}

// gate reports whether both hold a lock that is not in the circle, and one of
// them as a writer.
func (p *program) gate(d, e dependency, circle []uint8) bool {
	for _, i := range d.with {
		for _, j := range e.with {
			a, b := p.steps[d.g][i], p.steps[e.g][j]
			if a.lock == b.lock && !slices.Contains(circle, p.class[a.lock]) && (a.verb.mode() == write || b.verb.mode() == write) {
				return true
			}
		}
	}
	return false
}

// writes reports whether a third goroutine waits for the lock as a writer.
func (p *program) writes(lock uint8, but ...int) bool {
	for g, steps := range p.steps {
		for _, s := range steps {
			if s.verb == write && s.lock == lock && !slices.Contains(but, g) {
				return true
			}
		}
	}
	return false
}

// tally counts verdicts.
type tally struct {
	programs, deadlocks, onlyPath, reported int
	causes                                  map[string]int
}

func (c *tally) add(v verdict) {
	c.programs++
	if v.deadlock {
		c.deadlocks++
	}
	if v.onlyPath {
		c.onlyPath++
	}
	if v.reported {
		c.reported++
	}
	if v.cause != "" {
		if c.causes == nil {
			c.causes = map[string]int{}
		}
		c.causes[v.cause]++
	}
}

func (c *tally) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d programs; %d can deadlock, and all are reported (%d only when a TryLock was seen to fail); %d can't and are reported, because",
		c.programs, c.deadlocks, c.onlyPath, c.reported-c.deadlocks)
	for _, cause := range []string{oneGoroutine, otherLocks, behindGate, noWriter, otherwise} {
		fmt.Fprintf(&b, "\n%8d %s", c.causes[cause], cause)
	}
	return b.String()
}

// random judges n random programs, until one fails.
func (w *witness) random(seed uint64, n int) (c tally, err error) {
	r := rand.New(rand.NewPCG(seed, 0))
	for range n {
		b := randomTape(r)
		v, err := w.judge(parse(fuzztape.New(b, 1000)))
		if err != nil {
			return c, fmt.Errorf("tape %q: %w", b, err)
		}
		c.add(v)
	}
	return c, nil
}

// (a) Every program that can deadlock by the order of its locks is reported in
// a run without contention, (b) and every report names a strong circle, or a
// second lock of a class, of the program.
func TestA_B_OracleRandomPrograms(t *testing.T) {
	w, n := newWitness(t), 4000
	switch {
	case race.Enabled || testing.Short():
		n = 2000
	case testkit.Long():
		n = 20_000
	}
	c, err := w.random(1, n)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(&c)
	if c.deadlocks < n/10 || c.programs-c.reported < n/10 {
		t.Errorf("the programs are all of a kind: %v", &c)
	}
	for _, cause := range []string{oneGoroutine, otherLocks, behindGate, noWriter} {
		if c.causes[cause] == 0 {
			t.Errorf("no program is reported because %s", cause)
		}
	}
}
