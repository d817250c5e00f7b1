package page

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"

	"quiesce/internal/sys"
)

// One figure for the Go heap and the memory outside of it.
//
//	total    what both may take, less some slack
//	others   what other allocators of the process hold
//	want     what Go's memory grows to by its GOGC until the next cycle
//	share    the limit of the allocator that follows: total - others - want
//
// At the end of each of Go's cycles the two limits are set so that
//
//	Go's limit = total - others - max(share, what the allocator holds)
//
// The allocator gives way: what Go wants by its GOGC it gets, down to a sixteenth of
// the total, which stays with the allocator. Go is not made to collect more often to
// keep a cache full; it is when the total would be passed otherwise.
//
// # Why the sum holds
//
// The limits add up to the total, and each side keeps its own: chargeLocked never
// passes the allocator's; Go starts a cycle before it passes its own, and that cycle
// ends with a new division. So it does not matter how long a program goes without a
// cycle. When the division moves, the side that loses gives before the other gets:
//
//	share falls   the allocator's limit falls first, so it charges nothing more. What
//	              it holds beyond it is reclaimed, and Go's limit rises by what came
//	              back, not before.
//	share rises   never above what Go's memory leaves at that moment, whatever its
//	              limit is; and Go's limit falls first.
//
// # By how much it may be passed
//
// Go's limit is soft. Go passes it by what it allocates while the allocator still
// gives back what Go's last cycle asked for, and for good if what lives on its heap
// does not fit, or if nothing can be reclaimed. So a part of the total is given to
// neither: followSlack. Other allocators count as they were
// at the last cycle. The code of the program, cgo and other mappings do not count.
//
// # Who writes
//
// The loop of the one follower writes both limits. The allocator's are written under
// its zone lock; while it is followed (protected by that lock) an automatic limit is
// not. Go's is the process's, so there is one follower at a time. The loop runs when
// a cycle has ended or stop was called, and ends: mu protects whether it runs.
type follower struct {
	a      *Allocator
	total  int64
	most   int64               // share's bound: the limit that a has otherwise
	before int64               // Go's limit until then
	goNow  func() goMemory     // immutable, as the next
	setGo  func(limit int64)   // sets Go's limit
	others func() (held int64) // by other allocators

	// The loop's.
	share   int64 // the allocator's limit
	want    int64 // what Go wants
	presses bool  // Go holds more, which the allocator could have
	goLimit int64 // Go's limit

	mu       sync.Mutex // not a lock.Mutex: the runtime's goroutine for finalizers takes it
	running  bool       // the loop does
	wanted   bool       // a cycle has ended since it looked
	stopping bool
	done     chan struct{} // closed when both limits are what they were
}

const (
	followLeast = 32 << 20 // a total below is refused: Go alone takes some megabytes

	// followFloor is the part of the total that stays with the allocator, and
	// followStep the part by which a share must change to be set. Untuned.
	followFloor = 16
	followStep  = 64

	// followSlack is the part of the total that neither gets, for what Go passes its
	// limit by: 6 MiB of 192 at most in package cache's test, where a heap grows by
	// 60 MiB at once.
	followSlack = 32

	// followPause is the time between two rounds while memory is given back, in ns:
	// a grace period is shorter. Untuned.
	followPause = 500_000
)

var following struct {
	mu sync.Mutex
	by *follower
}

// FollowMemoryLimit keeps Go's memory and the memory of all allocators together within
// total bytes: 0 stands for GOMEMLIMIT. Each time the garbage collector has finished
// a cycle the limit of a becomes what Go and other allocators leave of the total, and
// Go's own limit (debug.SetMemoryLimit) what they leave of it. So caches in a grow into
// what Go does not use, and shrink when the heap grows: see [Reclaimer], which is
// called on a goroutine of this package as well. A limit that a has already stays
// the most that it gets, but an automatic one doesn't count, as total takes its place.
//
// Go gets what it needs to collect as often as GOGC says, and a the rest, at least a
// sixteenth of the total. Of what a GOGC above 100, or off, has Go's memory grow by
// only an eighth of the total is kept for it. The sum is passed while a
// gives back what Go has begun to use, and if nothing can be reclaimed or what lives
// on the Go heap does not fit. The program's code and memory of C are not part of it:
// a total of nine tenths of the container's memory leaves room for them. In race
// builds, where ranges lie on the Go heap, those count twice.
//
// Nothing runs between cycles. stop sets both limits to what they were before. Call it
// before a is closed, and don't call debug.SetMemoryLimit before it. While one
// allocator follows, another call is an error: make caches that share the memory with
// the same allocator.
//
// Context: task; not pinned. Of stop too.
func FollowMemoryLimit(a *Allocator, total int64) (stop func(), err error) {
	before := debug.SetMemoryLimit(-1)
	if total == 0 {
		if total = before; before == math.MaxInt64 {
			return nil, errors.New("page: FollowMemoryLimit: there is no GOMEMLIMIT to follow; give a total")
		}
	}
	f := &follower{
		a: a, total: total - total/followSlack, before: before, goNow: readGoMemory, others: a.othersHold,
		setGo: func(limit int64) { debug.SetMemoryLimit(limit) },
	}
	if err := f.start(); err != nil {
		return nil, err
	}
	afterEachCycle(f.wake)
	return f.stop, nil
}

// start sets both limits for the first time.
func (f *follower) start() error {
	switch {
	case f.total < followLeast-followLeast/followSlack:
		return fmt.Errorf("page: FollowMemoryLimit: the total is below the least, %d bytes", int64(followLeast))
	case f.a.closed.Load(): // ord:gate
		return fmt.Errorf("page: FollowMemoryLimit: allocator %s: %w", f.a.name, ErrClosed)
	}
	following.mu.Lock()
	defer following.mu.Unlock()
	if f2 := following.by; f2 != nil {
		return fmt.Errorf("page: FollowMemoryLimit: allocator %s follows already", f2.a.name)
	}
	following.by = f
	f.a.findLimit()
	f.most = f.a.limitNow()
	f.done = make(chan struct{})
	f.a.follow(true)
	f.divide()
	f.wake() // what is above the new limit is given back
	return nil
}

// wake has the loop look again, and reports whether it will.
func (f *follower) wake() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.stopping {
		return false
	}
	f.wakeLocked()
	return true
}

func (f *follower) wakeLocked() {
	f.wanted = true
	if !f.running {
		f.running = true
		sys.Go(f.loop)
	}
}

// loop divides the memory until nobody wants it any more.
func (f *follower) loop() {
	for {
		f.mu.Lock()
		stopping, wanted := f.stopping, f.wanted
		f.running, f.wanted = wanted, false
		f.mu.Unlock()
		switch {
		case stopping:
			f.restore()
			close(f.done)
			return
		case !wanted:
			return
		}
		f.divide()
		f.giveBack()
	}
}

// stop ends the following. A second call waits for the first.
func (f *follower) stop() {
	f.mu.Lock()
	if !f.stopping {
		f.stopping = true
		f.wakeLocked()
	}
	f.mu.Unlock()
	<-f.done
}

// stops reports whether stop was called.
func (f *follower) stops() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopping
}

// restore sets the limits that were there before, which is the loop's last act.
func (f *follower) restore() {
	f.a.follow(false)
	f.a.setLimit(f.most)
	f.setGo(f.before)
	following.mu.Lock()
	defer following.mu.Unlock()
	following.by = nil
}

// divide sets both limits, for what Go's memory is now. The one that falls is set
// first.
func (f *follower) divide() {
	g, a := f.goNow(), f.a
	f.want = g.want(f.total)
	share := f.shareFor(max(f.want, g.held))
	f.presses = share+f.total/followStep <= f.shareFor(f.want)
	if step := f.total / followStep; f.share != 0 && share > f.share-step && share < f.share+step {
		share = f.share
	}
	f.share = share
	if limit := a.limitNow(); limit == 0 || share < limit {
		a.setLimit(share)
	}
	f.setGoLimit()
	if a.limitNow() != share {
		a.setLimit(share)
	}
}

// shareFor returns the allocator's share of the total if Go takes so much of it.
func (f *follower) shareFor(takes int64) int64 {
	share := max(f.total-f.others()-takes, f.total/followFloor)
	if f.most > 0 && f.a.auto == nil {
		share = min(share, f.most)
	}
	return min(share, maxReserve)
}

// setGoLimit gives Go what the allocator neither has nor may have. If Go holds memory
// that it does not want and the allocator could have, its limit has it return that to
// the system, and the share rises at a later cycle. If there is next to nothing for Go the total does not hold
// anyway, and Go is not made to collect all the time.
func (f *follower) setGoLimit() {
	limit := f.total - f.others() - max(f.share, f.a.zone.resident.Load()) // ord:zone
	if f.presses {
		limit = min(limit, f.want)
	}
	if limit = max(limit, f.total/followFloor); limit != f.goLimit {
		f.goLimit = limit
		f.setGo(limit)
	}
}

// giveBack has the allocator give back what it holds above its share, and Go gets it
// step by step. It gives up when that makes no progress for Config.ReclaimTimeout.
func (f *follower) giveBack() {
	a := f.a
	least, end := int64(math.MaxInt64), int64(0)
	for !f.stops() && !a.closed.Load() { // ord:gate
		held := a.zone.resident.Load() // ord:zone
		over := held - f.share
		if over <= 0 {
			break
		}
		if now := sys.Nanotime(); held < least {
			least, end = held, now+int64(a.core.Timeout)
		} else if now > end {
			break
		}
		if a.queue.asking.CompareAndSwap(false, true) { // as ask: one goroutine calls Reclaimers; ord:hint
			a.reclaimOnce(over)
			a.queue.asking.Store(false) // ord:hint
		}
		a.returnSome(over)
		f.setGoLimit() // by what came back
		sys.Sleep(followPause)
	}
}

// follow says whether a follower writes the limit.
func (a *Allocator) follow(on bool) {
	a.zone.lock.LockIRQ()
	a.followed = on
	a.zone.lock.UnlockIRQ()
}

// othersHold returns what all other allocators of the process hold.
func (a *Allocator) othersHold() (held int64) {
	for _, e := range known.All() {
		if e.Object != a {
			held += e.Object.zone.resident.Load() // ord:zone
		}
	}
	return held
}

// goMemory is what the runtime says of its memory, in bytes.
type goMemory struct {
	held    int64 // of the system, as its limit counts it
	objects int64 // living ones, and garbage
	free    int64 // free, and not returned to the system
	live    int64 // objects at the end of the last cycle
	roots   int64 // stacks and globals, which count for GOGC
	gogc    int64 // percent; very large if it is off
}

// want returns what Go's memory may grow to until it has collected again, with some
// room so that its limit alone does not start a cycle early. It is what GOGC has it
// grow to; of what goes beyond GOGC=100, though, only an eighth of the total.
func (g goMemory) want(total int64) int64 {
	live := g.live
	if live == 0 { // there was no cycle
		live = g.objects
	}
	base := live + g.roots
	more := base / 100 * min(g.gogc, 100)
	if g.gogc > 100 {
		more = max(more, min(base/100*min(g.gogc, 100_000), total/8))
	}
	want := max(g.held-g.objects-g.free, 0) + live + max(more, 4<<20)
	return want + want/16 + 1<<20
}

// readGoMemory asks the runtime.
func readGoMemory() goMemory {
	ms := []metrics.Sample{
		{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"},
		{Name: "/gc/gogc:percent"},
	}
	metrics.Read(ms)
	value := func(i int) int64 {
		if ms[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(min(ms[i].Value.Uint64(), math.MaxInt64))
	}
	return goMemory{
		held: value(0) - value(1), objects: value(2), free: value(3), live: value(4), roots: value(5) + value(6),
		gogc: value(7),
	}
}

// cycle is garbage in each of Go's cycles. It has a pointer: small objects without
// one share their memory, and may be kept by another's.
type cycle struct{ again func() bool }

// afterEachCycle calls fn after each of Go's cycles, until that returns false, on the
// goroutine that the runtime has for finalizers. It must not block.
func afterEachCycle(fn func() bool) {
	var finalize func(*cycle)
	finalize = func(c *cycle) {
		if c.again() {
			runtime.SetFinalizer(c, finalize)
		}
	}
	runtime.SetFinalizer(&cycle{fn}, finalize)
}
