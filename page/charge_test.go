package page

import (
	"errors"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
)

// What is charged is in the figures, never above the limit, and keeps the allocator
// open.
func TestChargesCountAgainstTheLimit(t *testing.T) {
	const limit = 8 << 20
	a := newTest(t, Config{Limit: limit})
	core := pages.CoreOf(a)
	before := a.Stats()
	if !core.Charge(3 * Size) {
		t.Fatal("no room in an empty allocator")
	}
	s := a.Stats()
	if s.Resident != before.Resident+3*Size || s.InUse != before.InUse+3*Size ||
		s.Resident != s.Metadata+Size+s.InUse+s.OnLists+s.Deferred+s.FreePopulated {
		t.Errorf("%+v", s)
	}
	var leak *LeakError
	if err := a.Close(); !errors.As(err, &leak) || leak.Pages != 3 {
		t.Errorf("Close: %v, want 3 pages", err)
	}
	var held []unsafe.Pointer
	for p := a.Alloc(0, gfp.NoWait|gfp.NoWarn); p != nil; p = a.Alloc(0, gfp.NoWait|gfp.NoWarn) {
		held = append(held, p)
	}
	if core.Charge(Size) {
		t.Error("charged above what is left")
	}
	for _, p := range held[len(held)/2:] {
		a.Free(p, 0)
	}
	a.flushLists() // free, and with memory: it gives way
	n := 0
	for core.Charge(Size) {
		n++
	}
	if s := a.Stats(); n < len(held)/4 || s.Resident > limit || s.Peak > limit {
		t.Errorf("%d of %d freed pages were charged; %d bytes resident, %d at most", n, len(held)/2, s.Resident, s.Peak)
	}
	for range n + 3 {
		core.Uncharge(Size)
	}
	for _, p := range held[:len(held)/2] {
		a.Free(p, 0)
	}
	if s := a.Stats(); s.InUse != 0 {
		t.Errorf("%d bytes in use", s.InUse)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if core.Charge(Size) {
		t.Error("a closed allocator charges")
	}
}
