//go:build linux && (amd64 || arm64) && !lockdep

package rcu

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// The entries of assembly rely on it.
func TestThePlaceOfAPsState(t *testing.T) {
	if got := unsafe.Sizeof(percpu.CPU{}); got != 1<<lineShift {
		t.Errorf("the states of two Ps are %d bytes apart, want %d", got, 1<<lineShift)
	}
}

// Where the leaves don't find their P, sections are counted by the pinned path.
func TestSectionsCountWithoutLeaves(t *testing.T) {
	defer func(was unsafe.Pointer) { leafCPUs = was }(leafCPUs)
	for _, at := range []unsafe.Pointer{nil, percpu.All()} {
		if at != nil && !sys.Leaves {
			continue
		}
		leafCPUs = at
		before := openSections()
		g := ReadLock()
		h := ReadLock()
		if n := openSections() - before; n != 2 {
			t.Errorf("%v: %d sections are counted, want 2", at, n)
		}
		g.Unlock()
		h.Unlock()
		if n := openSections() - before; n != 0 {
			t.Errorf("%v: %d sections are counted after both ended", at, n)
		}
		testkit.Panics(t, g.Unlock, "Unlock of a Guard that was unlocked before")
		testkit.Panics(t, new(Guard).Unlock, "Unlock of a zero Guard")
	}
}

// An Unlock of no guard panics in the caller, which can recover: nothing was
// counted.
func TestUnlockOfANilGuardPanics(t *testing.T) {
	before := openSections()
	func() {
		defer func() {
			if err, ok := recover().(runtime.Error); !ok || !strings.Contains(err.Error(), "nil pointer") {
				t.Errorf("it panics with %v", err)
			}
		}()
		(*Guard)(nil).Unlock()
	}()
	if n := openSections() - before; n != 0 {
		t.Errorf("%d sections are counted after it", n)
	}
}

// openSections returns how many sections are counted as entered and not left.
func openSections() int64 {
	in, out := sumLocks(), sumUnlocks()
	return int64(in[0] + in[1] - out[0] - out[1])
}
