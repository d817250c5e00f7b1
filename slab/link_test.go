package slab

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/offheap"
	"quiesce/internal/testkit"
	"quiesce/rcu"
)

// linkedValue is a value as a map has it: it is copied, and leads to a block.
type linkedValue struct {
	blob Link[cell]
	n    uint32
}

func TestAZeroLinkIsNil(t *testing.T) {
	var l Link[cell]
	if !l.IsNil() || l.Get() != nil || l != MakeLink[cell](nil) {
		t.Errorf("the zero Link is %v", l.Get())
	}
}

func TestALinkAndItsCopiesLeadToTheObject(t *testing.T) {
	c := newTest[cell](t, newPages(t, 0))
	a, b := c.Alloc(gfp.Kernel), c.Alloc(gfp.Kernel)
	v := linkedValue{blob: MakeLink(a), n: 1}
	w := v
	if w.blob.IsNil() || w.blob.Get() != a || w != v {
		t.Error("a copy leads elsewhere")
	}
	w.blob = MakeLink(b)
	if w == v || v.blob.Get() != a || w.blob.Get() != b {
		t.Error("a change of the copy is seen in the original")
	}
	field := MakeLink(&a.body[2]) // as where what is linked is a field
	*field.Get() = 7
	if a.body[2] != 7 {
		t.Error("a link to a field leads elsewhere")
	}
	c.Free(a)
	c.Free(b)
	mustClose(t, c)
}

// What has a Link may live off-heap, is a word long, and is no other type's.
func TestALinkIsAnOffHeapWord(t *testing.T) {
	if err := offheap.Check(reflect.TypeFor[linkedValue]()); err != nil {
		t.Error(err)
	}
	if n := unsafe.Sizeof(Link[cell]{}); n != unsafe.Sizeof(uintptr(0)) {
		t.Errorf("a Link has %d bytes", n)
	}
	if reflect.TypeFor[Link[cell]]().ConvertibleTo(reflect.TypeFor[Link[uint64]]()) {
		t.Error("a Link can be converted to one of another type")
	}
}

// A reader who has copied a value out of its place uses the block to the end of
// the section, whatever an updater frees.
func TestALinksObjectLivesToTheEndOfTheSection(t *testing.T) {
	a := newPages(t, 0)
	blobs, values := newTest[cell](t, a), newTest[linkedValue](t, a)
	var made []*linkedValue // before the section, in which an allocation must not wait
	for n := range uint32(50) {
		blob := blobs.Alloc(gfp.Kernel)
		blob.body[0] = uint64(n)
		v := values.Alloc(gfp.Kernel)
		*v = linkedValue{MakeLink(blob), n}
		made = append(made, v)
	}
	var place Pointer[linkedValue]
	replace := func(v *linkedValue) {
		if old := place.Swap(v); old != nil {
			blobs.FreeRCU(old.blob.Get())
			values.FreeRCU(old)
		}
	}
	replace(made[0])
	g := rcu.ReadLock()
	v := *place.Load()
	for _, next := range made[1:] {
		replace(next)
	}
	if blob := v.blob.Get(); blob.body[0] != uint64(v.n) {
		t.Errorf("the block has %d, want %d", blob.body[0], v.n)
	}
	g.Unlock()
	replace(nil)
	mustClose(t, blobs, values, a)
}

// The collector frees what only a Link points to: as for a Pointer, builds with
// checks report it when it is made.
func TestMakeLinkToGoMemoryFailsTheTestRunOfABuildWithChecks(t *testing.T) {
	if testkit.Scenario() != "" {
		fmt.Println("the program has its link:", !MakeLink(&global).IsNil()) //quiescevet:ignore the test is about the report
		return
	}
	c := testkit.OfTest(t, "1")
	c.TestRun = true
	c.Env = []string{"QUIESCE=", noRest}
	out, err := c.Output()
	if passes := err == nil; passes == checks {
		t.Errorf("it passes: %v", passes)
	}
	for _, part := range []string{"slab.MakeLink[slab.cell] of addr 0x", "link_test.go:", "in no allocator's range"} {
		if strings.Contains(out, part) != checks {
			t.Errorf("the report must have %q: %v\n%s", part, checks, out)
		}
	}
}
