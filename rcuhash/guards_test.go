package rcuhash

import (
	"errors"
	"strconv"
	"testing"

	"quiesce/rcu"
	"quiesce/slab"
)

// A map refers to its nodes by their offsets, so a sample of guarded objects has
// none of them.
func TestAMapsNodesAreNotSampled(t *testing.T) {
	if err := slab.SampleGuards(slab.GuardConfig{Every: 1}); err != nil {
		if errors.Is(err, errors.ErrUnsupported) {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	defer func() { _ = slab.SampleGuards(slab.GuardConfig{}) }()
	before := slab.ReadGuardStats().Sampled
	const n = 5000
	for _, size := range []int{0, n} { // in the heap for small maps, and in one of its own
		m := newMap[string, uint64](t, size, 0)
		for i := range n {
			if !m.Put(strconv.Itoa(i), uint64(i)) {
				t.Fatal("no memory")
			}
		}
		g := rcu.ReadLock()
		for i := range n {
			if v := m.Get(g, strconv.Itoa(i)); v == nil || *v != uint64(i) {
				t.Fatalf("the value of %d is %v", i, v)
			}
		}
		g.Unlock()
	}
	if got := slab.ReadGuardStats().Sampled; got != before {
		t.Errorf("%d nodes are sampled", got-before)
	}
}
