package page

import (
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/race"
	"quiesce/internal/testkit"
)

const mib = 1 << 20

// goOf is Go's memory with so much alive, that much in all, and GOGC=100.
func goOf(live, held int64) goMemory {
	return goMemory{held: held, objects: live, free: held - live, live: live, gogc: 100}
}

func TestWhatGoWants(t *testing.T) {
	for _, c := range []struct {
		what string
		g    goMemory
		want int64 // MiB, without the room for its limit
	}{
		{"as much again", goOf(100*mib, 100*mib), 200},
		{"garbage is not kept", goMemory{held: 300 * mib, objects: 250 * mib, free: 50 * mib, live: 100 * mib, gogc: 100}, 200},
		{"stacks and the rest stay", goMemory{held: 130 * mib, objects: 100 * mib, live: 100 * mib, roots: 10 * mib, gogc: 100}, 240},
		{"GOGC=50", goMemory{held: 100 * mib, objects: 100 * mib, live: 100 * mib, gogc: 50}, 150},
		{"GOGC=400, little", goMemory{held: 10 * mib, objects: 10 * mib, live: 10 * mib, gogc: 400}, 50},
		{"GOGC=400, much", goMemory{held: 100 * mib, objects: 100 * mib, live: 100 * mib, gogc: 400}, 228},
		{"GOGC=off", goMemory{held: 10 * mib, objects: 10 * mib, live: 10 * mib, gogc: math.MaxInt64}, 138},
		{"no cycle yet", goMemory{held: 40 * mib, objects: 40 * mib, gogc: 100}, 80},
		{"next to nothing", goOf(mib, mib), 5},
	} {
		want := c.want * mib
		want += want/16 + mib
		if got := c.g.want(1 << 30); got < want-2*mib || got > want+mib {
			t.Errorf("%s: %d MiB, want %d", c.what, got/mib, want/mib)
		}
	}
}

// process is a Go heap that a test makes up.
type process struct {
	heap    goMemory
	goLimit int64
	held    int64 // by other allocators
	most    int64 // the sum of both limits and what others hold
}

// follows has an allocator follow a made-up process. Its loop does not run: the test
// calls divide and giveBack.
func follows(t *testing.T, a *Allocator, total int64, p *process) *follower {
	t.Helper()
	f := &follower{
		a: a, total: total, before: math.MaxInt64,
		goNow:  func() goMemory { return p.heap },
		others: func() int64 { return p.held },
	}
	f.setGo = func(limit int64) {
		p.goLimit = limit
		if limit > total/followFloor { // else it does not fit
			p.most = max(p.most, limit+max(a.limitNow(), a.zone.resident.Load())+p.held) // ord:zone
		}
	}
	f.most = a.limitNow()
	a.follow(true)
	return f
}

// The allocator gets what Go leaves, and both limits never add up to more than the
// total, whichever falls or rises.
func TestTheLimitsAddUpToTheTotal(t *testing.T) {
	const total = 1024 * mib
	a := newTest(t, Config{Limit: 900 * mib})
	p := &process{}
	f := follows(t, a, total, p)
	for _, c := range []struct {
		what         string
		heap         goMemory
		others       int64
		least, most  int64 // MiB of the share
		goLeast, goM int64
	}{
		{"a small heap: its own limit", goOf(10*mib, 10*mib), 0, 900, 900, 124, 124},
		{"a larger one", goOf(200*mib, 210*mib), 0, 590, 605, 420, 434},
		{"not much larger: as before", goOf(203*mib, 210*mib), 0, 590, 605, 420, 434},
		{"other allocators", goOf(200*mib, 210*mib), 300 * mib, 290, 305, 420, 434},
		{"less of them", goOf(200*mib, 210*mib), 100 * mib, 490, 505, 420, 434},
		{"what Go does not want it still holds", goOf(10*mib, 500*mib), 0, 520, 528, 64, 64},
		{"it has given it back", goOf(10*mib, 30*mib), 0, 900, 900, 124, 124},
		{"nearly all", goOf(480*mib, 490*mib), 0, 64, 64, 955, 960},
		{"more than there is", goOf(2000*mib, 2000*mib), 0, 64, 64, 955, 960},
	} {
		p.heap, p.held = c.heap, c.others
		f.divide()
		share, limit := a.Stats().Limit/mib, p.goLimit/mib
		if share < c.least || share > c.most || limit < c.goLeast || limit > c.goM {
			t.Errorf("%s: share %d MiB, want %d to %d; Go's limit %d, want %d to %d", c.what, share, c.least, c.most, limit, c.goLeast, c.goM)
		}
		if p.most > total {
			t.Errorf("%s: the limits add up to %d MiB", c.what, p.most/mib)
			p.most = 0
		}
	}
	a.follow(false)
}

// keeper is a Reclaimer that frees blocks, and keeps some.
type keeper struct {
	a      *Allocator
	blocks []unsafe.Pointer
	keeps  int
	asked  int
}

func (k *keeper) Reclaim(need int64) {
	k.asked++
	for ; need > 0 && len(k.blocks) > k.keeps; need -= Size << MaxOrder {
		k.a.Free(k.blocks[0], MaxOrder)
		k.blocks = k.blocks[1:]
	}
}

// When Go's memory grows, what the allocator holds is reclaimed, and Go's limit
// rises by what came back and no earlier.
func TestWhatTheAllocatorGivesGoGets(t *testing.T) {
	const total = 256 * mib
	a := newTest(t, Config{Limit: total, ReclaimTimeout: 20 * time.Millisecond})
	p := &process{heap: goOf(4*mib, 8*mib)}
	f := follows(t, a, total, p)
	f.divide()
	k := &keeper{a: a, blocks: fillUp(a, gfp.Kernel)}
	k.asked = 0
	a.AddReclaimer(k)
	defer a.RemoveReclaimer(k)
	if s := a.Stats(); s.InUse < 200*mib {
		t.Fatalf("%d MiB in use", s.InUse/mib)
	}
	p.heap = goOf(60*mib, 80*mib)
	f.divide()
	if p.goLimit > 40*mib {
		t.Errorf("Go's limit is %d MiB while the allocator holds %d of %d", p.goLimit/mib, a.Stats().Resident/mib, total/mib)
	}
	f.giveBack()
	if s := a.Stats(); s.Resident > s.Limit || s.Limit > 130*mib || p.goLimit < 120*mib || k.asked == 0 {
		t.Errorf("%d of %d MiB, asked %d times, Go's limit %d MiB", s.Resident/mib, s.Limit/mib, k.asked, p.goLimit/mib)
	}
	if p.most > total {
		t.Errorf("the limits add up to %d MiB", p.most/mib)
	}
	// What can't be reclaimed: it gives up, and Go gets no more than there is.
	k.keeps = len(k.blocks)
	p.heap = goOf(110*mib, 150*mib)
	f.divide()
	f.giveBack()
	if s := a.Stats(); s.Resident < s.Limit || s.Resident+p.goLimit > total {
		t.Errorf("%d of %d MiB, Go's limit %d MiB", s.Resident/mib, s.Limit/mib, p.goLimit/mib)
	}
	k.keeps = 0
	k.Reclaim(math.MaxInt64)
	a.follow(false)
}

// It follows Go's cycles, changes Go's limit, and puts both back.
func TestFollowMemoryLimit(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	debug.SetMemoryLimit(3 << 30)
	if race.Enabled {
		t.Skip("ranges lie on the Go heap, those of closed allocators too")
	}
	a := newTest(t, Config{Limit: 1 << 30})
	stop, err := FollowMemoryLimit(a, 0) // GOMEMLIMIT
	if err != nil {
		t.Fatal(err)
	}
	goLimit := func() int64 { return debug.SetMemoryLimit(-1) }
	if got := goLimit(); got > 2<<30 || got < 3<<29 || a.Stats().Limit != 1<<30 {
		t.Errorf("Go's limit %d, the allocator's %d", got, a.Stats().Limit)
	}
	if _, err := FollowMemoryLimit(a, 1<<30); err == nil || !strings.Contains(err.Error(), "follows already") {
		t.Errorf("a second one: %v", err)
	}
	stop()
	stop()
	if goLimit() != 3<<30 || a.Stats().Limit != 1<<30 {
		t.Errorf("after stop: Go's limit %d, the allocator's %d", goLimit(), a.Stats().Limit)
	}

	debug.FreeOSMemory()
	total := readGoMemory().held + 220*mib
	heap := make([]byte, 64*mib)
	if stop, err = FollowMemoryLimit(a, total); err != nil {
		t.Fatal(err)
	}
	defer stop()
	runtime.KeepAlive(heap)
	heap = nil
	testkit.Eventually(t, 30*time.Second, "the allocator gets what the heap had", func() bool {
		debug.FreeOSMemory()
		return a.Stats().Limit > 180*mib
	})
	heap = make([]byte, 64*mib)
	testkit.Eventually(t, 30*time.Second, "the heap gets it back", func() bool {
		runtime.GC()
		return a.Stats().Limit < 130*mib
	})
	runtime.KeepAlive(heap)
}

func TestFollowMemoryLimitRefuses(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(math.MaxInt64))
	a, err := New(Config{Name: "refused"})
	if err != nil {
		t.Fatal(err)
	}
	for total, want := range map[int64]string{0: "no GOMEMLIMIT", 1: "below the least", -1: "below the least"} {
		if _, err := FollowMemoryLimit(a, total); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: %v", total, err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := FollowMemoryLimit(a, 1<<30); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		t.Error("a call that failed changed Go's limit")
	}
}

// While an automatic limit is followed, the files are not: a cycle can't undo what a
// reading of them says.
func TestAnAutomaticLimitIsNotReadWhileItIsFollowed(t *testing.T) {
	a, change := autoLimitedTo(t, 64*mib)
	p := &process{heap: goOf(10*mib, 20*mib)}
	f := follows(t, a, 128*mib, p)
	f.divide()
	share := a.Stats().Limit
	if share < 80*mib || share > 110*mib {
		t.Errorf("share %d MiB", share/mib)
	}
	change(512 * mib)
	a.findLimitAgain()
	if got := a.Stats().Limit; got != share {
		t.Errorf("limit %d MiB, want the share", got/mib)
	}
	f.restore()
	if got := a.Stats().Limit; got != 48*mib || p.goLimit != math.MaxInt64 {
		t.Errorf("restored: %d MiB, and Go's limit %d", got/mib, p.goLimit)
	}
	change(512 * mib)
	a.findLimitAgain()
	if got := a.Stats().Limit; got != 384*mib {
		t.Errorf("limit %d MiB after stop", got/mib)
	}
}

// Nothing runs between cycles, and nothing after stop.
func TestFollowingEndsWithItsWork(t *testing.T) {
	a := newTest(t, Config{Limit: 64 * mib})
	var reads atomic.Int32
	p := &process{heap: goOf(4*mib, 8*mib)}
	f := follows(t, a, 128*mib, p)
	f.goNow = func() goMemory { reads.Add(1); return p.heap }
	f.done = make(chan struct{})
	idle := func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		return !f.running
	}
	for n := range int32(3) {
		if !f.wake() {
			t.Error("it does not wake")
		}
		testkit.Eventually(t, 10*time.Second, "the loop has ended", func() bool { return idle() && reads.Load() == n+1 })
	}
	f.stop()
	if f.wake() || reads.Load() != 3 {
		t.Errorf("it wakes after stop; %d readings", reads.Load())
	}
}
