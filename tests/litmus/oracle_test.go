package litmus

import (
	"slices"
	"testing"
)

// The verdicts, by exhaustive search. In this model a machine may do the two
// accesses of a process in either order, unless a grace period, a dependency
// or a publication is between them. A section begins before both and ends
// after both. A grace period can end once every section that was running
// at its beginning has ended. Each access is visible to all processes at once.

// state is a moment of an execution.
type state struct {
	pc   [4]uint8 // steps done, by process
	swap [4]bool  // accesses in the other order
	mem  [4]uint8 // by variable
	reg  [4]uint8
	wait [4]uint8 // of a grace period: processes that it waits for, as bits
}

// steps are the steps of a process: accesses 0 and 1, and for readers and
// updaters two more.
func steps(q *proc) []string {
	switch {
	case q.reader:
		return []string{"lock", "0", "1", "unlock"}
	case q.grace:
		return []string{"0", "begin", "end", "1"}
	}
	return []string{"0", "1"}
}

func ordered(q *proc) bool {
	return q.grace || q.access[1].kind == deref || q.access[1].kind == publish
}

// outcomes returns every outcome that an execution can have.
func outcomes(p *program) []int {
	var found []int
	seen := map[state]bool{}
	var visit func(s state)
	visit = func(s state) {
		if seen[s] {
			return
		}
		seen[s] = true
		end := true
		for i := range p.procs {
			q := &p.procs[i]
			list := steps(q)
			if int(s.pc[i]) == len(list) {
				continue
			}
			end = false
			n := s
			n.pc[i]++
			switch step := list[s.pc[i]]; step {
			case "lock", "unlock":
			case "begin":
				n.wait[i] = 0
				for j := range p.procs {
					if p.procs[j].reader && s.pc[j] > 0 && int(s.pc[j]) < len(steps(&p.procs[j])) {
						n.wait[i] |= 1 << j
					}
				}
			case "end":
				blocked := false
				for j := range p.procs {
					if s.wait[i]>>j&1 == 1 && int(s.pc[j]) < len(steps(&p.procs[j])) {
						blocked = true
					}
				}
				if blocked {
					continue
				}
			default:
				which := int(step[0] - '0')
				if s.swap[i] {
					which ^= 1
				}
				switch a := q.access[which]; a.kind {
				case read:
					n.reg[a.reg] = s.mem[a.v]
				case deref:
					n.reg[a.reg] = s.mem[s.reg[q.access[0].reg]]
				default:
					n.mem[a.v] = uint8(a.val)
				}
			}
			visit(n)
		}
		if end {
			o := 0
			for r := range p.pointer {
				o |= int(s.reg[r]) << r
			}
			if !slices.Contains(found, o) {
				found = append(found, o)
			}
		}
	}
	for orders := range 1 << len(p.procs) {
		var s state
		legal := true
		for v, val := range p.init {
			s.mem[v] = uint8(val)
		}
		for i := range p.procs {
			s.swap[i] = orders>>i&1 == 1
			legal = legal && !(s.swap[i] && ordered(&p.procs[i]))
		}
		if legal {
			visit(s)
		}
	}
	return found
}

func TestTheVerdictsAreThoseOfAnExhaustiveSearch(t *testing.T) {
	for _, s := range slices.Concat(neverShapes, sometimesShapes) {
		p := parse(s)
		possible := outcomes(p)
		if slices.Contains(possible, p.want) != (s.Verdict == Sometimes) {
			t.Errorf("%s: expected %s, and the search found %d", s.Name, s.Verdict, possible)
		}
		// Without its grace periods no shape is forbidden, except the one that
		// needs none.
		none := *p
		none.procs = slices.Clone(p.procs)
		for i := range none.procs {
			none.procs[i].grace = false
		}
		if g, _ := counts(s); g > 0 && !slices.Contains(outcomes(&none), p.want) {
			t.Errorf("%s: forbidden without its grace periods too", s.Name)
		}
	}
}

// The rule of the family: a cycle of sections and grace periods is forbidden
// if and only if there are as many grace periods as sections.
func TestACycleIsForbiddenIfAndOnlyIfItHasAsManyGracePeriodsAsSections(t *testing.T) {
	for n := 2; n <= 4; n++ {
		for pattern := range 1 << n { // bit i: process i is a section
			s, sections := cycle(n, pattern)
			p := parse(s)
			want := n-sections < sections
			if got := slices.Contains(outcomes(p), p.want); got != want {
				t.Errorf("%s: possible is %v", s.Name, got)
			}
		}
	}
}

// cycle is C-RW-…: each process reads what the one before it wrote.
func cycle(n, pattern int) (s Shape, sections int) {
	vars := []string{"w", "x", "y", "z"}
	for i := range n {
		r, v, next := string(rune('0'+i)), vars[i], vars[(i+1)%n]
		text := "r" + r + "=" + v + "; sync; " + next + "=1"
		name := "RW-G"
		if pattern>>i&1 == 1 {
			sections++
			text = "lock; r" + r + "=" + v + "; " + next + "=1; unlock"
			name = "RW-R"
		}
		if i > 0 {
			s.Name += "+"
			s.Exists += " "
		}
		s.Name += name
		s.Exists += "r" + r + "=1"
		s.Procs = append(s.Procs, text)
	}
	return s, sections
}
