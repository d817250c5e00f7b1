package rcuhash

import (
	"testing"
)

// (H-A) A reader is on a key when it is deleted, and continues from there: the
// rest of the list is still found.
func TestHA_RangeGoesOnFromAKeyThatIsDeletedUnderIt(t *testing.T) {
	const keys = 10
	m := newMap[uint64, uint64](t, 1, 0) // one list
	for k := range uint64(keys) {
		m.Put(k, k)
	}
	seen := map[uint64]int{}
	m.Range(func(k uint64, v *uint64) bool {
		seen[k]++
		m.Delete(k)
		if *v != k {
			t.Errorf("key %d has value %d after Delete, under the guard", k, *v)
		}
		return true
	})
	for k := range uint64(keys) {
		if seen[k] != 1 {
			t.Errorf("key %d was seen %d times", k, seen[k])
		}
	}
	if m.Len() != 0 {
		t.Errorf("%d keys left", m.Len())
	}
}
