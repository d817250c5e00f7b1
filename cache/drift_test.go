package cache

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"quiesce/internal/testkit"
)

// When the sizes of values change, the slabs of the old size come to serve the new
// one: a cache that has been through a change has as many hits as one that was made
// for these sizes. (memcached's slab classes kept what they once had: calcification.)
func TestACacheWhoseSizesDriftedHasAsManyHitsAsAFreshOne(t *testing.T) {
	if raceOrPoison {
		t.Skip("sparse slabs are not emptied")
	}
	const limit = 8 << 20
	drifts := [][]int{{4000, 1000, 100}, {100, 4000, 1000}, {300, 40_000, 6000}}
	if !testkit.Long() {
		drifts = drifts[:1]
	}
	for _, sizes := range drifts {
		old := newPlainBytes(t, limit)
		for phase, size := range sizes {
			got := hitRatio(old, phase, size, limit)
			if phase == 0 {
				continue
			}
			fresh := newPlainBytes(t, limit)
			want := hitRatio(fresh, phase, size, limit)
			t.Logf("sizes %v: %d bytes: %.2f %% hits after the drift, %.2f %% in a fresh cache; %d entries and %d", sizes, size, got, want, old.Len(), fresh.Len())
			// The entries say whether the memory followed. Hits depend on the policy's
			// trials, too, and with them on chance.
			if old.Len() < fresh.Len()*88/100 && got < want {
				t.Errorf("sizes %v: at %d bytes the cache has %d entries, a fresh one %d", sizes, size, old.Len(), fresh.Len())
			}
			if got < want-5 {
				t.Errorf("sizes %v: at %d bytes the cache has %.2f %% hits, a fresh one %.2f %%", sizes, size, got, want)
			}
		}
		checkStats(t, old.Stats())
		checkPolicy(t, old.x)
	}
}

// driftKeys is how many keys there are.
const driftKeys = 40_000

// hitRatio has values of about a size asked for by Zipf, and loaded on a miss; one of
// another phase is as good as none. It returns the percentage of hits once the cache
// has had time to fill with them. The keys are the same in each phase, so that what
// the policy knows of them stays true.
func hitRatio(c *Bytes[string], phase, size, limit int) float64 {
	rng := rand.New(rand.NewPCG(uint64(phase), uint64(size)))
	requests := 24 * max(limit/(size+100), 2000)
	hits, n := 0, 0
	v := make([]byte, 2*size)
	for i := range requests {
		key := int(math.Pow(driftKeys, rng.Float64()))
		k := strconv.Itoa(key)
		ok := false
		got := c.View(k, func(v []byte) { ok = v[0] == byte(phase) }) && ok
		if !got {
			v[0] = byte(phase)
			_ = c.Set(k, v[:size*3/4+key*7919%(size/2)]) // what fails is missed
		}
		if i >= requests/2 {
			n++
			if got {
				hits++
			}
		}
	}
	return 100 * float64(hits) / float64(n)
}
