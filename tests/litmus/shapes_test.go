package litmus

import "strings"

// The shapes. Where two accesses of a section are in the order that TSO
// (amd64) keeps anyhow, the shape is here with them exchanged as well: RCU
// promises the same for both, and then nothing but the grace period forbids
// the outcome.
//
// A line is a shape: name: Init { process | process } Exists.

var neverShapes = shapes(Never, `
// Linux Documentation/litmus-tests/rcu, herd: Never.
RCU+sync+free: x=1; z=1; p=&x { lock; r0=p; r1=*r0; unlock | p<-&z; sync; x=0 } r0=&x r1=0
RCU+sync+read: { r0=x; sync; r1=y | lock; x=1; y=1; unlock } r0=1 r1=0
// Linux tools/memory-model/litmus-tests, herd: Never.
MP+onceassign+derefonce: z=1; x=0; p=&z { x=1; p<-&x | lock; r0=p; r1=*r0; unlock } r0=&x r1=0

RCU+sync+read, reader reads: { x=1; sync; y=1 | lock; r0=x; r1=y; unlock } r0=0 r1=1
MP+sync+rscs: { x=1; sync; y=1 | lock; r0=y; r1=x; unlock } r0=1 r1=0
SB+sync+rscs: { x=1; sync; r0=y | lock; y=1; r1=x; unlock } r0=0 r1=0
SB+sync+sync: { x=1; sync; r0=y | y=1; sync; r1=x } r0=0 r1=0

// C-RW-R*+RW-G*: Never while there are as many grace periods (G) as
// sections (R). WR: accesses exchanged.
RW-G+RW-R: { r0=x; sync; y=1 | lock; r1=y; x=1; unlock } r0=1 r1=1
RW-G+WR-R: { r0=x; sync; y=1 | lock; x=1; r1=y; unlock } r0=1 r1=1
RW-G+RW-G+WR-R: { r0=x; sync; y=1 | r1=y; sync; z=1 | lock; x=1; r2=z; unlock } r0=1 r1=1 r2=1
RW-R+RW-R+RW-G+RW-G: { lock; r0=w; x=1; unlock | lock; r1=x; y=1; unlock | r2=y; sync; z=1 | r3=z; sync; w=1 } r0=1 r1=1 r2=1 r3=1
WR-R+WR-R+RW-G+RW-G: { lock; x=1; r0=w; unlock | lock; y=1; r1=x; unlock | r2=y; sync; z=1 | r3=z; sync; w=1 } r0=1 r1=1 r2=1 r3=1
WR-R+RW-G+WR-R+RW-G: { lock; x=1; r0=w; unlock | r1=x; sync; y=1 | lock; z=1; r2=y; unlock | r3=z; sync; w=1 } r0=1 r1=1 r2=1 r3=1
`)

// Allowed outcomes. amd64 shows those marked in seenOnTSO; the others need a
// machine that lets a later store overtake a load.
var sometimesShapes = shapes(Sometimes, `
SB+poonceonces: { x=1; r0=y | y=1; r1=x } r0=0 r1=0
SB+rscs+rscs: { lock; x=1; r0=y; unlock | lock; y=1; r1=x; unlock } r0=0 r1=0
WR-R+WR-R: { lock; x=1; r0=y; unlock | lock; y=1; r1=x; unlock } r0=1 r1=1
// More sections than grace periods.
WR-R+RW-G+WR-R: { lock; x=1; r0=z; unlock | r1=x; sync; y=1 | lock; z=1; r2=y; unlock } r0=1 r1=1 r2=1
RW-R+RW-G+RW-R: { lock; r0=z; x=1; unlock | r1=x; sync; y=1 | lock; r2=y; z=1; unlock } r0=1 r1=1 r2=1
`)

func shapes(v Verdict, text string) (list []Shape) {
	for _, line := range split(text, "\n") {
		if strings.HasPrefix(line, "//") {
			continue
		}
		name, rest, _ := strings.Cut(line, ":")
		before, rest, _ := strings.Cut(rest, "{")
		procs, exists, ok := strings.Cut(rest, "}")
		if !ok {
			panic("no shape: " + line)
		}
		list = append(list, Shape{Name: name, Verdict: v, Init: strings.TrimSpace(before),
			Procs: split(procs, "|"), Exists: strings.TrimSpace(exists)})
	}
	return list
}

func shape(name string) Shape {
	for _, s := range append(neverShapes, sometimesShapes...) {
		if s.Name == name {
			return s
		}
	}
	panic("no shape " + name)
}

// counts are the numbers of grace periods and of sections of a shape.
func counts(s Shape) (g, r int) {
	text := strings.Join(s.Procs, ";")
	return strings.Count(text, "sync"), strings.Count(text, "unlock")
}
