package lockdep_test

import (
	"fmt"
	"testing"

	"quiesce/internal/depcheck"
)

// One lock taken and released, of a chain that is known, while so many others
// are held.
func BenchmarkAcquireRelease(b *testing.B) {
	for _, depth := range []int{0, 1, 5} {
		b.Run(fmt.Sprint("held=", depth), func(b *testing.B) {
			newWitness(b)
			maps := make([]depcheck.Map, depth+1)
			for i := range maps {
				maps[i].Init(fmt.Sprint("lock ", i))
				hold(&maps[i], 0)
			}
			m := &maps[depth]
			m.Release(true)
			b.ReportAllocs()
			for b.Loop() {
				m.Acquire(oracleType, 0)
				m.Acquired()
				m.Release(true)
			}
			for i := range depth {
				maps[i].Release(true)
			}
		})
	}
}

// A known chain costs no memory: hooks run in every context.
func TestAKnownChainDoesNotAllocate(t *testing.T) {
	newWitness(t)
	var a, b depcheck.Map
	a.Init("a")
	b.Init("b")
	if n := testing.AllocsPerRun(100, func() { holdAll(&a, &b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
