package lockdep_test

import (
	"fmt"
	"strings"
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/internal/fuzztape"
	"quiesce/internal/race"
	"quiesce/lockdep"
)

// sequences are all ways for one goroutine to take up to two locks, of two, in
// up to four steps.
func sequences() (all [][]step) {
	p := new(program)
	var extend func(left int)
	extend = func(left int) {
		if len(p.open(0)) == 0 {
			all = append(all, append([]step(nil), p.steps[0]...))
		}
		if left == 0 {
			return
		}
		for _, of := range p.open(0) {
			before := append([]step(nil), p.steps[0]...)
			p.release(0, of)
			extend(left - 1)
			p.steps[0] = before
		}
		if len(p.open(0)) >= left-1 {
			return
		}
		for v := range verb(acquiring) {
			for lock := range uint8(2) {
				before := append([]step(nil), p.steps[0]...)
				p.steps[0] = append(p.steps[0], step{verb: v, lock: lock})
				extend(left - 1)
				p.steps[0] = before
			}
		}
	}
	extend(4)
	return all
}

// (a, b) of all programs of two goroutines and two locks with up to four steps
// each.
func TestA_B_OracleAllSmallPrograms(t *testing.T) {
	w := newWitness(t)
	all := sequences()
	every := 1
	if race.Enabled || testing.Short() {
		every = 17
	}
	var c tally
	for i, first := range all {
		for j := i; j < len(all); j++ {
			if (i*len(all)+j)%every != 0 {
				continue
			}
			p := &program{class: [maxLocks]uint8{0, 1, 2, 3}}
			p.steps[0], p.steps[1] = first, all[j]
			v, err := w.judge(p)
			if err != nil {
				t.Fatal(err)
			}
			c.add(v)
		}
	}
	t.Logf("%d sequences; %v", len(all), &c)
	if c.deadlocks == 0 || c.reported == c.programs {
		t.Errorf("the programs are all of a kind: %v", &c)
	}
}

// oracleCases are programs whose verdict is known.
var oracleCases = []struct {
	name, tape         string
	deadlock, reported bool
	cause              string
}{
	{"two goroutines, two orders", "123w0w1gw1w0", true, true, ""},
	{"two goroutines, one order", "123w0w1gw0w1", false, false, ""},
	{"three goroutines in a circle", "123w0w1gw1w2gw2w0", true, true, ""},
	{"one goroutine, a lock twice", "123w0w0", true, true, ""},
	{"a try in a circle", "123w0t1gw1w0", false, false, ""},
	{"a lock that was got by a try is held", "123t0w1gw1w0", true, true, ""},
	{"readers both ways", "123r0r1gr1r0", false, true, noWriter},
	{"readers both ways and writers", "123r0r1gr1r0gw0gw1", true, true, ""},
	{"recursive readers both ways, and writers", "123R0R1gR1R0gw0gw1", false, false, ""},
	{"a plain reader twice, and a writer", "123r0r0gw0", true, true, ""},
	{"a recursive reader twice, and a writer", "123r0R0gw0", false, false, ""},
	{"the same goroutine in both orders", "123w0w1u0w0", false, true, oneGoroutine},
	{"two locks of a class", "023w0w1", false, true, otherLocks},
	{"a recursive reader waits for a reader, who waits for a writer", "123w0R1gr1w0", false, false, ""},
	{"a reader waits for a reader behind a writer", "123w0r1gr1w0gw1", true, true, ""},
	// (c) A circle that a gate lock makes harmless is reported anyway, as by the
	// kernel's lockdep: the order is in the program, even if a third lock is held
	// wherever it occurs today.
	{"a gate lock", "123w0w1w2gw0w2w1", false, true, behindGate},
	{"a gate that both only read", "123R0w1w2gR0w2w1", true, true, ""},
	// lockdep remembers chains by classes alone, but whether a recursive reader
	// may continue depends on which lock is already held.
	{"a recursive reader of another lock of the class", "120R0R1R0gR0R1R3gw3w1", true, true, ""},
}

func TestA_C_OracleKnownPrograms(t *testing.T) {
	w := newWitness(t)
	for _, c := range oracleCases {
		v, err := w.judge(parse(fuzztape.New([]byte(c.tape), 1000)))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if v.deadlock != c.deadlock || v.reported != c.reported || v.cause != c.cause {
			t.Errorf("%s: deadlock %v, reported %v (%s); want %v, %v (%s)", c.name, v.deadlock, v.reported, v.cause, c.deadlock, c.reported, c.cause)
		}
	}
}

// The oracle has teeth: among a few thousand programs there is one that gives away
// a lockdep that misses an acquisition, or that reports something else.
func TestOracleCatchesMutants(t *testing.T) {
	for _, m := range []struct {
		name   string
		clause string
		mutate func(w *witness)
	}{
		{"an order is forgotten: B after A", "(a)", func(w *witness) {
			w.skip = func(e event) bool { return e.lock == 1 && len(e.held) > 0 }
		}},
		{"what the second goroutine does is not seen", "(a)", func(w *witness) {
			w.skip = func(e event) bool { return e.g == 1 }
		}},
		{"locks that were got by a try are not held", "(a)", func(w *witness) {
			w.skip = func(e event) bool { return e.verb.tries() }
		}},
		{"the third lock of a goroutine is not seen", "(a)", func(w *witness) {
			w.skip = func(e event) bool { return len(e.held) == 2 }
		}},
		{"recursive readers as tries", "(a)", func(w *witness) { w.hows[recur] |= depcheck.Try }},
		{"plain readers as recursive ones", "(a)", func(w *witness) { w.hows[read] |= depcheck.Recursive }},
		{"writers as readers that recurse", "(a)", func(w *witness) { w.hows[write] = w.hows[recur] }},
		{"recursive readers as plain ones", "(b)", func(w *witness) { w.hows[recur] = w.hows[read] }},
		{"recursive readers as writers", "(b)", func(w *witness) { w.hows[recur] = w.hows[write] }},
		{"tries as waits", "(b)", func(w *witness) { w.hows[tryWrite] = w.hows[write] }},
		{"a circle with a class left out", "(b)", func(w *witness) {
			w.alter = func(r *lockdep.Report) { r.Classes = r.Classes[1:] }
		}},
		{"a circle in reverse order", "(b)", func(w *witness) {
			w.alter = func(r *lockdep.Report) {
				for i, j := 0, len(r.Classes)-1; i < j; i, j = i+1, j-1 {
					r.Classes[i], r.Classes[j] = r.Classes[j], r.Classes[i]
				}
			}
		}},
	} {
		t.Run(m.name, func(t *testing.T) {
			w := newWitness(t)
			m.mutate(w)
			c, err := w.random(2, 5000)
			if err == nil {
				t.Errorf("not noticed: %v", &c)
			} else if got := fmt.Sprint(err); !strings.Contains(got, m.clause) {
				t.Errorf("noticed, but not by %s: %s", m.clause, got)
			}
		})
	}
}

// FuzzLockOrder compares lockdep's opinion of a program with the oracle's. See
// parse for the tape.
func FuzzLockOrder(f *testing.F) {
	for _, c := range oracleCases {
		f.Add([]byte(c.tape))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := newWitness(t).judge(parse(fuzztape.New(b, 64))); err != nil {
			t.Fatal(err)
		}
	})
}
