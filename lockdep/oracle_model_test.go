package lockdep_test

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"quiesce/internal/fuzztape"
)

// The oracle: small programs of locks, and a search through all their
// interleavings for those that deadlock. Nothing here knows of lockdep.

const (
	maxGoroutines = 4
	maxSteps      = 6 // of a goroutine
	maxLocks      = 4
)

// verb is what a step does. A mutex is a lock without readers.
type verb uint8

const (
	write    verb = iota // waits for all who hold it
	read                 // waits for a writer that holds it or waits for it
	recur                // a recursive reader: waits for a writer that holds it
	tryWrite             // as write, but skipped with its release if it had to wait
	tryRead              // as read, …
	tryRecur             // as recur, …
	unlock               // of the lock taken by step of

	acquiring   = int(unlock) // verbs that take a lock
	verbLetters = "wrRtyYug"
)

func (v verb) tries() bool { return v >= tryWrite && v < unlock }

// mode is how the lock is taken, tried or not: write, read or recur.
func (v verb) mode() verb {
	if v.tries() {
		return v - tryWrite
	}
	return v
}

type step struct {
	verb verb
	lock uint8
	of   uint8 // unlock: the step that took the lock
	end  uint8 // others: the step that unlocks it
}

type program struct {
	class [maxLocks]uint8 // of each lock: at most its number
	steps [maxGoroutines][]step
}

// take appends a step that takes a lock, if there is room for that and for the
// releases.
func (p *program) take(g int, v verb, lock int) {
	if open := len(p.open(g)); len(p.steps[g])+open+2 <= maxSteps {
		p.steps[g] = append(p.steps[g], step{verb: v, lock: uint8(lock)})
	}
}

// release appends the release of the lock that step of took: the last time, if
// that was more than once, since a release does not say which one it ends.
func (p *program) release(g, of int) {
	s := p.steps[g]
	for _, i := range p.open(g) {
		if s[i].lock == s[of].lock {
			of = i
		}
	}
	s[of].end = uint8(len(s))
	p.steps[g] = append(s, step{verb: unlock, lock: s[of].lock, of: uint8(of)})
}

// open are the steps whose locks are not released yet.
func (p *program) open(g int) (steps []int) {
	for i, s := range p.steps[g] {
		if s.verb != unlock && s.end == 0 {
			steps = append(steps, i)
		}
	}
	return steps
}

// parse reads a program from a tape: the classes of the locks B to D (a digit
// each, the number of an earlier lock or its own), and the steps, where g turns
// to the next goroutine, u0 releases the first lock that is held, and the
// other letters take a lock: w1 is a write lock of B. What is held at the end
// is released.
func parse(tp *fuzztape.Tape) *program {
	p := new(program)
	for i := 1; i < maxLocks; i++ {
		if n := tp.Arg(i + 1); n < i {
			p.class[i] = p.class[n]
		} else {
			p.class[i] = uint8(i)
		}
	}
	g := 0
	for {
		op, ok := tp.Op(verbLetters)
		if !ok {
			break
		}
		switch i := strings.IndexByte(verbLetters, op); {
		case i < acquiring:
			p.take(g, verb(i), tp.Arg(maxLocks))
		case op == 'u':
			if open := p.open(g); len(open) > 0 {
				p.release(g, open[tp.Arg(len(open))])
			}
		default:
			g = (g + 1) % maxGoroutines
		}
	}
	p.finish()
	return p
}

// finish releases what is held, the last one first.
func (p *program) finish() {
	for g := range p.steps {
		for open := p.open(g); len(open) > 0; open = p.open(g) {
			p.release(g, open[len(open)-1])
		}
	}
}

// randomTape writes a program of two to four goroutines. Half of them have
// locks that share a class.
func randomTape(r *rand.Rand) []byte {
	b := []byte("123")
	if r.IntN(2) == 0 {
		for i := range b {
			if r.IntN(2) == 0 {
				b[i] = byte('0' + r.IntN(i+2))
			}
		}
	}
	locks := 2 + r.IntN(maxLocks-1)
	for g := range 2 + r.IntN(maxGoroutines-1) {
		if g > 0 {
			b = append(b, 'g')
		}
		turn := r.Perm(locks)
		for i := range 2 + r.IntN(5) {
			if r.IntN(4) == 0 {
				b = append(b, 'u', byte('0'+r.IntN(3)))
			} else {
				// Half of the acquisitions are write locks.
				// A lock is seldom taken twice.
				v, lock := verbLetters[max(0, r.IntN(2*acquiring)-acquiring)], turn[i%locks]
				if r.IntN(16) == 0 {
					lock = r.IntN(locks)
				}
				b = append(b, v, byte('0'+lock))
			}
		}
	}
	return b
}

func (p *program) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "classes of A..D: %d", p.class)
	for g, steps := range p.steps {
		if len(steps) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\ngoroutine %d:", g)
		names := [...]string{"Lock", "RLock", "RLockRecursive", "TryLock", "TryRLock", "TryRLockRecursive", "Unlock"}
		for _, s := range steps {
			fmt.Fprintf(&b, " %s(%c)", names[s.verb], 'A'+s.lock)
		}
	}
	return b.String()
}

// world is a state of a program: how far each goroutine is, which ones wait as a
// writer, and which tries failed. Which locks are held follows from that.
type world struct {
	pc     [maxGoroutines]uint8
	waits  uint8                // bit g: goroutine g waits for a write lock
	failed [maxGoroutines]uint8 // bit i: step i failed
}

func (w *world) key() (k uint64) {
	for g := range maxGoroutines {
		k = k<<9 | uint64(w.pc[g])<<6 | uint64(w.failed[g])
	}
	return k<<4 | uint64(w.waits)
}

// holds reports whether goroutine g is between step i and its release.
func (p *program) holds(w *world, g, i int) bool {
	s := &p.steps[g][i]
	return s.verb != unlock && i < int(w.pc[g]) && w.pc[g] <= s.end && w.failed[g]&(1<<i) == 0
}

// must reports whether goroutine g would have to wait in its next step.
func (p *program) must(w *world, g int) bool {
	next := &p.steps[g][w.pc[g]]
	if next.verb == unlock {
		return false
	}
	mode := next.verb.mode()
	for other, steps := range p.steps {
		for i := range steps {
			if steps[i].lock == next.lock && p.holds(w, other, i) && (mode == write || steps[i].verb.mode() == write) {
				return true
			}
		}
		// Plain readers and tries queue behind writers that wait. (In a queue that
		// keeps all waiters in order others queue too, but only behind waiters for
		// a holder that they wait for anyway.)
		if mode != recur && other != g && w.waits&(1<<other) != 0 && steps[w.pc[other]].lock == next.lock && next.verb != write {
			return true
		}
	}
	return false
}

// explorer searches through all interleavings. Its memory is reused.
type explorer struct {
	seen  map[uint64]struct{}
	stack []world
}

// deadlock returns a state in which no goroutine can continue and some goroutine
// is not at its end, if one can be reached. Programs have no loops, so goroutines
// that deadlock among themselves are stuck when the others have ended.
func (x *explorer) deadlock(p *program) (stuck world, found bool) {
	if x.seen == nil {
		x.seen = map[uint64]struct{}{}
	}
	clear(x.seen)
	x.stack = x.stack[:0]
	x.push(world{})
	for len(x.stack) > 0 {
		w := x.stack[len(x.stack)-1]
		x.stack = x.stack[:len(x.stack)-1]
		moved, ended := false, true
		for g := range p.steps {
			if int(w.pc[g]) == len(p.steps[g]) {
				continue
			}
			ended = false
			v := p.steps[g][w.pc[g]].verb
			next := w
			switch wait := p.must(&w, g); {
			case !wait:
				next.pc[g]++
				next.waits &^= 1 << g
			case v.tries():
				next.failed[g] |= 1 << w.pc[g]
				next.pc[g]++
			case v == write && w.waits&(1<<g) == 0:
				next.waits |= 1 << g
			default:
				continue
			}
			// The release of a lock whose try failed is no step.
			for n := &next.pc[g]; int(*n) < len(p.steps[g]); *n++ {
				if s := p.steps[g][*n]; s.verb != unlock || next.failed[g]&(1<<s.of) == 0 {
					break
				}
			}
			moved = true
			x.push(next)
		}
		if !moved && !ended {
			return w, true
		}
	}
	return world{}, false
}

func (x *explorer) push(w world) {
	k := w.key()
	if _, ok := x.seen[k]; !ok {
		x.seen[k] = struct{}{}
		x.stack = append(x.stack, w)
	}
}

// event is a step of a run without contention.
type event struct {
	g, i   int
	verb   verb
	lock   uint8
	failed bool  // a try that failed, or the release of one
	held   []int // the goroutine's steps whose locks it held before
}

// run runs the goroutines one after another, where only tries can fail: those of
// locks that the goroutine itself holds, and those in failed. A goroutine's wait
// for itself ends, as if it got the lock twice: by then there is a report.
func (p *program) run(failed [maxGoroutines]uint8) (events []event) {
	for g, steps := range p.steps {
		lost := failed[g]
		var held []int
		for i, s := range steps {
			e := event{g: g, i: i, verb: s.verb, lock: s.lock, held: append([]int(nil), held...)}
			switch {
			case s.verb == unlock:
				e.failed = lost&(1<<s.of) != 0
				for j := range held {
					if held[j] == int(s.of) {
						held = append(held[:j], held[j+1:]...)
						break
					}
				}
			default:
				for _, h := range held {
					if s.verb.tries() && steps[h].lock == s.lock && (s.verb.mode() == write || steps[h].verb.mode() == write) {
						lost |= 1 << i
					}
				}
				if e.failed = lost&(1<<i) != 0; !e.failed {
					held = append(held, i)
				}
			}
			events = append(events, e)
		}
	}
	return events
}

// dependency says that a lock was waited for while another one was held.
type dependency struct {
	g          int
	from, to   uint8 // locks
	held, mode verb  // how from was held, and to taken
	with       []int // the goroutine's steps whose locks were held
}

func (p *program) dependencies(events []event) (deps []dependency) {
	for _, e := range events {
		if e.verb == unlock || e.verb.tries() {
			continue
		}
		for _, h := range e.held {
			s := p.steps[e.g][h]
			deps = append(deps, dependency{e.g, s.lock, e.lock, s.verb.mode(), e.verb, e.held})
		}
	}
	return deps
}
