package slab

import (
	"runtime"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// What a section of an rcu.Reader may have found is not reused before it ends,
// however full the sheaves are that wait for a grace period.
func TestFreeRCUWaitsForARegisteredReader(t *testing.T) {
	c, err := NewCache[[8]uint64](t.Name())
	if err != nil {
		t.Fatal(err)
	}
	r := rcu.NewReader()
	r.ReadLock()
	found := map[*[8]uint64]bool{} // by the section, at its beginning
	for range 3000 {
		o := c.Alloc(gfp.NoWait) // which a section may do
		if o == nil {
			t.Fatal("no memory")
		}
		found[o] = true
		c.FreeRCU(o)
	}
	barrier := testkit.Async(c.Barrier)
	for range 3000 {
		o := c.Alloc(gfp.NoWait)
		if o == nil {
			t.Fatal("no memory")
		}
		if found[o] {
			t.Fatal("an object was reused inside of a section from before its free")
		}
		c.Free(o)
	}
	for range 100 {
		runtime.Gosched()
	}
	if testkit.IsClosed(barrier) {
		t.Error("Barrier returned inside of the section")
	}
	r.Unlock()
	r.Close()
	testkit.Within(t, "Barrier", barrier)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
