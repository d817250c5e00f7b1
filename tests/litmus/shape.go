package litmus

import (
	"fmt"
	"strings"
)

// Verdict says whether a shape's outcome may be seen.
type Verdict string

const (
	Never     Verdict = "Never"
	Sometimes Verdict = "Sometimes"
)

// Shape is a litmus test: some processes of two accesses each, and the outcome
// that it asks about.
//
// A process is written as "r0=x; sync; y=1". Words are variables or registers
// (r0, r1, …: each belongs to one process). "lock; …; unlock" is a read-side
// section, "sync" a grace period, "r1=*r0" reads the variable that r0 points
// to, "p=&x" stores such a pointer, "p<-&x" publishes it (rcu_assign_pointer).
// Variables are 0 where Init doesn't say otherwise.
type Shape struct {
	Name    string
	Verdict Verdict
	Init    string
	Procs   []string
	Exists  string // "r0=1 r1=0"
}

type kind uint8

const (
	read kind = iota
	write
	publish
	deref // reads the variable that the process's first access returned
)

// access is one step of a process.
type access struct {
	kind kind
	v    int    // variable
	val  uint64 // of a write
	reg  int    // of a read
}

// proc is a process of a parsed shape: two accesses, and what is between or around
// them.
type proc struct {
	access        [2]access
	reader, grace bool
}

// program is a parsed shape.
type program struct {
	shape   Shape
	vars    []string
	init    []uint64
	procs   []proc
	pointer []bool // by register: holds the number of a variable
	want    int    // the outcome that Exists names; bit r is register r
}

// parse turns a shape into a program. Shapes are constants of tests, so it
// panics on a bad one.
func parse(s Shape) *program {
	p := &program{shape: s}
	for _, w := range split(s.Init, ";") {
		v, val := p.assignment(s, w)
		p.init[v] = val
	}
	p.pointer = make([]bool, 8)
	regs := 0
	for _, text := range s.Procs {
		var q proc
		n := 0
		for _, w := range split(text, ";") {
			switch w {
			case "lock":
				q.reader = true
				continue
			case "unlock":
				continue
			case "sync":
				if n != 1 {
					panic(s.Name + ": the grace period is between the two accesses")
				}
				q.grace = true
				continue
			}
			if n == 2 {
				panic(s.Name + ": more than two accesses in " + text)
			}
			q.access[n] = p.access(s, w, &regs)
			n++
		}
		if n != 2 || q.access[0].kind == deref {
			panic(s.Name + ": not two accesses in " + text)
		}
		p.procs = append(p.procs, q)
	}
	p.pointer = p.pointer[:regs]
	for _, w := range strings.Fields(s.Exists) {
		var r int
		if _, err := fmt.Sscanf(w, "r%d=", &r); err != nil || r >= regs {
			panic(s.Name + ": bad register in " + w)
		}
		_, val, _ := strings.Cut(w, "=")
		p.want |= int(p.value(s, val)) << r
	}
	return p
}

func (p *program) access(s Shape, w string, regs *int) access {
	if to, from, ok := strings.Cut(w, "="); ok && len(to) == 2 && to[0] == 'r' {
		r := int(to[1] - '0')
		if r != *regs {
			panic(s.Name + ": registers are numbered in the order of the text: " + w)
		}
		*regs++
		if from[0] == '*' {
			return access{kind: deref, reg: r}
		}
		v := p.variable(from)
		p.pointer[r] = from == "p"
		return access{kind: read, v: v, reg: r}
	}
	k := write
	if strings.Contains(w, "<-") {
		k = publish
		w = strings.Replace(w, "<-", "=", 1)
	}
	v, val := p.assignment(s, w)
	return access{kind: k, v: v, val: val}
}

func (p *program) assignment(s Shape, w string) (v int, val uint64) {
	name, text, ok := strings.Cut(w, "=")
	if !ok {
		panic(s.Name + ": not an assignment: " + w)
	}
	val = p.value(s, text) // numbers the variable pointed to first
	return p.variable(name), val
}

func (p *program) value(s Shape, text string) uint64 {
	var v uint64
	switch {
	case text[0] == '&':
		v = uint64(p.variable(text[1:]))
	default:
		v = uint64(text[0] - '0')
	}
	if v > 1 {
		panic(s.Name + ": values are 0, 1, and the addresses of the first two variables: " + text)
	}
	return v
}

// variable returns the number of a variable, a new one if need be.
func (p *program) variable(name string) int {
	for i, v := range p.vars {
		if v == name {
			return i
		}
	}
	p.vars = append(p.vars, name)
	p.init = append(p.init, 0)
	return len(p.vars) - 1
}

// outcome is the text of one, as Exists writes it.
func (p *program) outcome(o int) string {
	var b strings.Builder
	for r, pointer := range p.pointer {
		val := o >> r & 1
		if pointer {
			fmt.Fprintf(&b, "r%d=&%s ", r, p.vars[val])
		} else {
			fmt.Fprintf(&b, "r%d=%d ", r, val)
		}
	}
	return strings.TrimSpace(b.String())
}

func split(s, sep string) (words []string) {
	for _, w := range strings.Split(s, sep) {
		if w = strings.TrimSpace(w); w != "" {
			words = append(words, w)
		}
	}
	return words
}

// Result is what a run saw.
type Result struct {
	shape        *program
	Hist         []uint64 // by outcome
	Instances    uint64
	Runs         uint64 // each has one grace period per updater
	Overlaps     uint64 // runs in which all processes were at work at one moment
	Sections     uint64
	Seconds      float64
	Seed         uint64
	GracePeriods uint64 // by the library's own count
}

// Seen is how often the outcome that the shape asks about was seen.
func (r *Result) Seen() uint64 { return r.Hist[r.shape.want] }

// Add merges another result of the same shape.
func (r *Result) Add(o *Result) {
	if r.Hist == nil {
		r.shape = o.shape
		r.Hist = make([]uint64, len(o.Hist))
	}
	for i, n := range o.Hist {
		r.Hist[i] += n
	}
	r.Instances += o.Instances
	r.Runs += o.Runs
	r.Overlaps += o.Overlaps
	r.Sections += o.Sections
	r.Seconds += o.Seconds
	r.GracePeriods += o.GracePeriods
}

// String is the histogram in the manner of herd and litmus7.
func (r *Result) String() string {
	var b strings.Builder
	states := 0
	for _, n := range r.Hist {
		if n > 0 {
			states++
		}
	}
	s := r.shape.shape
	fmt.Fprintf(&b, "Test %s: { %s }\nexists (%s)\nStates %d\n", s.Name, strings.Join(s.Procs, " } || { "), s.Exists, states)
	for o, n := range r.Hist {
		mark := ' '
		if o == r.shape.want {
			mark = '*'
		}
		if n > 0 || mark == '*' {
			fmt.Fprintf(&b, "%12d %c> %s\n", n, mark, r.shape.outcome(o))
		}
	}
	fmt.Fprintf(&b, "Observation %s expected %s, seen %d of %d\n%d runs, %d of them with all processes at work at once; %d sections, %d grace periods, %.1f s",
		s.Name, s.Verdict, r.Seen(), r.Instances, r.Runs, r.Overlaps, r.Sections, r.GracePeriods, r.Seconds)
	return b.String()
}
