package page

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/internal/pages"
	"quiesce/internal/testkit"
)

// The owner's mark is in its store buffer when the taker looks: the taker's
// membarrier is what makes it visible. Without it both use the list.
func TestATakerSeesTheOwnerWhoseMarkIsInTheStoreBuffer(t *testing.T) {
	testkit.AtLeastProcs(t, 2)
	a := newTest(t, Config{})
	var stop atomic.Bool
	ended := make(chan any)
	go func() {
		defer func() { ended <- recover() }()
		for !stop.Load() {
			a.flushLists()
		}
	}()
	b := testkit.NewBacklog()
	live := map[unsafe.Pointer]bool{}
	var mine []unsafe.Pointer
	for begin := time.Now(); time.Since(begin) < churnTime() && !t.Failed(); {
		b.Store()
		p := a.Alloc(0, quiet)
		if live[p] {
			t.Errorf("page %p was handed out twice", p)
		}
		live[p] = true
		if mine = append(mine, p); len(mine) == 20 {
			for _, p := range mine {
				b.Store()
				a.Free(p, 0)
			}
			clear(live)
			mine = mine[:0]
		}
	}
	stop.Store(true)
	if p := <-ended; p != nil {
		t.Error(p)
	}
	if t.Failed() {
		return
	}
	for _, p := range mine {
		a.Free(p, 0)
	}
}

func TestATakerWaitsForTheOwnersOperation(t *testing.T) {
	a := newTest(t, Config{})
	const absent = 100 // a P that doesn't exist: the test is its owner
	s := a.slots.At(absent)
	a.openSlot(absent, s)
	atomic.StoreUint32(&s.busy, 1)
	var done atomic.Bool
	go func() {
		a.flushLists()
		done.Store(true)
	}()
	time.Sleep(30 * time.Millisecond)
	if done.Load() {
		t.Error("the taker went on while the owner was busy")
	}
	atomic.StoreUint32(&s.busy, 0)
	for i := 0; !done.Load(); i++ {
		if i > 5000 {
			t.Fatal("the taker does not go on")
		}
		time.Sleep(time.Millisecond)
	}
}

func TestATakerFindsTheListOfAPThatIsGone(t *testing.T) {
	a := newTest(t, Config{})
	page := a.core.PageOf(a.Alloc(0, quiet))
	gone := runtime.GOMAXPROCS(0) + 20
	s := a.slots.At(gone)
	a.openSlot(gone, s)
	a.meta(page).Set(pages.Cached, 0, 0)
	s.pages[listStart[0]], s.n[0] = page, 1
	a.Shrink()
	if got := a.Stats(); got.OnLists != 0 {
		t.Errorf("%d bytes are left on lists after Shrink", got.OnLists)
	}
}
