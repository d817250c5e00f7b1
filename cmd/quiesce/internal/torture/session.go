package torture

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/internal/fault"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// session is one run of one scenario in this process.
type session struct {
	p      params
	name   string
	seed   uint64
	length time.Duration
	ops    *ops
	procs  int // GOMAXPROCS, apart from onoff
	stacks io.Writer
	start  time.Time

	nreaders int
	pages    *page.Allocator
	cache    *slab.Cache[object]
	kcache   *slab.Cache[cached]
	heap     *slab.Heap
	table    ktable
	owners   *owners // nil: none
	maps     *maps   // nil: none

	// Life.
	stop     atomic.Bool
	done     chan struct{} // closed with stop
	never    chan struct{}
	wg       sync.WaitGroup // all but the hands
	handsWG  sync.WaitGroup
	hands    chan handed
	paused   atomic.Bool
	resting  atomic.Int32 // the reader that is shuffled out, or -1
	nodelay  atomic.Bool
	stalling atomic.Bool
	step     atomic.Pointer[string] // what is being done, for a hang's report

	// The pipe.
	current     slab.Pointer[object]
	box         atomic.Pointer[mailbox]
	version     atomic.Uint64
	live        atomic.Int64 // objects of the pool that are out
	async       atomic.Int64 // of them aged by callbacks
	wcount      [pipeLen + 1]atomic.Uint64
	writerState atomic.Pointer[string]
	w           *writer
	raws        [4]paddedRaw

	allocs, allocFailed, frees     atomic.Uint64
	callbacks, fakes, planted      atomic.Uint64
	turns                          [ways]atomic.Uint64
	cookieErrors, bulkErrors       atomic.Uint64
	barriers, barrierOK            atomic.Uint64
	barrierErrors, nExits          atomic.Uint64
	onoffs, onoffMax, shuffles     atomic.Uint64
	stutters, stalls, stallReports atomic.Uint64
	fwd                            struct{ readers, floods, invoked, laundered, maxCBs, full atomic.Uint64 }

	readers []*reader
	kfreers []*kfreer
	handed  []*tally
	exits   sum

	mu       sync.Mutex
	failures []Failure // protected by mu
	notes    []string  // protected by mu

	gpStart    uint64
	slabFaults uint64 // injected before the start
	pageFaults uint64
	memStart   int64
	memSamples []int64
	memEnd     int64
	routes     [4]uint64 // the kfree part's: arrays, reused, bulk, fallback
	seen       string    // the current object's address at the end
	ended      time.Duration
}

type paddedRaw struct {
	lock.Raw
	_ [64]byte
}

// Failure is something that must not happen: what, how often, and the first.
type Failure struct {
	Kind  string `json:"kind"`
	Count uint64 `json:"count"`
	First string `json:"first"`
}

// fail counts a failure.
//
// Context: task; not pinned.
func (s *session) fail(kind, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.failures {
		if s.failures[i].Kind == kind {
			s.failures[i].Count++
			return
		}
	}
	s.failures = append(s.failures, Failure{kind, 1, fmt.Sprintf(format, args...)})
}

// note keeps a line for the summary, the last 20 of them.
func (s *session) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notes = append(s.notes, line)
	if len(s.notes) > 20 {
		s.notes = s.notes[1:]
	}
}

// state records what the writer is doing. what is a constant.
func (s *session) state(what string) { s.writerState.Store(&what) }

// doing records what the session is doing. what is a constant.
func (s *session) doing(what string) { s.step.Store(&what) }

// random returns a generator of the thread's own: see "Seeds" in doc.go.
func (s *session) random(thread string, id int) *rand.Rand { return generator(s.seed, thread, id) }

func generator(seed uint64, thread string, id int) *rand.Rand {
	h := fnv.New64a()
	io.WriteString(h, thread)
	return rand.New(rand.NewPCG(seed, h.Sum64()+uint64(id)))
}

// sleep waits, but not beyond the session's end.
//
// Context: task; not pinned.
func (s *session) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.done:
	}
}

// thread starts one of the session's threads.
func (s *session) thread(fn func()) { s.wg.Go(fn) }

func newSession(name string, p params, seed uint64, length time.Duration, stacks io.Writer) (*session, error) {
	s := &session{p: p, name: name, seed: seed, length: length, stacks: stacks, ops: opsOf(p.tortureType),
		done: make(chan struct{}), never: make(chan struct{}), hands: make(chan handed, handsMost)}
	s.doing("setting up")
	s.state("FIXED_DELAY")
	s.resting.Store(-1)
	if s.procs = p.nrCPUs; s.procs == 0 {
		s.procs = max(2, runtime.GOMAXPROCS(0))
	}
	if s.nreaders = p.nreaders; s.nreaders < 0 {
		s.nreaders = max(2, s.procs-1)
	}
	var err error
	s.pages, err = page.New(page.Config{Name: "torture", Limit: int64(p.kfreeLimit) << 10, ReclaimTimeout: time.Second})
	if err != nil {
		return nil, err
	}
	if s.cache, err = slab.NewCache[object]("torture", slab.WithAllocator(s.pages), slab.WithSheaf(8)); err != nil {
		return nil, err
	}
	if s.kcache, err = slab.NewCache[cached]("kfree", slab.WithAllocator(s.pages)); err != nil {
		return nil, err
	}
	s.heap = slab.NewHeap(s.pages)
	var sizes []int
	for words := kwordsMin; words <= kwordsMax; words++ {
		sizes = append(sizes, words*8)
	}
	if err = s.heap.Prepare(sizes...); err != nil {
		return nil, err
	}
	if p.ownerThreads > 0 {
		s.owners = newOwners(s)
	}
	if p.kfreeThreads+p.ownerThreads > 0 {
		s.table.slot = make([]slab.Pointer[kobj], p.kfreeNum)
	}
	if p.mapThreads > 0 {
		if s.maps, err = newMaps(s); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// run is the session from start to end. It returns when everything has ended,
// or when it is certain that it never will.
func (s *session) run(ctx context.Context, report func(Status)) *Result {
	old := runtime.GOMAXPROCS(s.procs)
	oldStall := rcu.StallTimeout
	rcu.StallTimeout = seconds(s.p.stallTime)
	s.slabFaults, s.pageFaults = fault.Slab.Injected(), fault.Page.Injected()
	fault.Slab.Set(fault.Attr{Probability: s.p.failslab})
	fault.Page.Set(fault.Attr{Probability: s.p.failPage})
	fault.SetDelays(int(s.p.delayPermille), 50*time.Microsecond)
	s.gpStart = s.ops.completed()
	s.memStart = s.pages.Stats().Resident
	s.start = time.Now()
	s.launch()
	s.doing("running")
	hung := s.watch(ctx, report)
	s.ended = time.Since(s.start)
	if !hung {
		hung = s.within("stopping", s.end)
	}
	fault.Slab.Set(fault.Attr{})
	fault.Page.Set(fault.Attr{})
	if !hung {
		s.account()
		s.close()
		runtime.GOMAXPROCS(old)
		rcu.StallTimeout = oldStall
	}
	r := s.result()
	r.Partial = ctx.Err() != nil && len(r.Failures) == 0
	r.Hung = hung
	return r
}

// launch starts the threads.
func (s *session) launch() {
	for i := range s.nreaders {
		s.readers = append(s.readers, newReader(s, "reader", i))
	}
	for _, r := range s.readers {
		s.thread(r.run)
	}
	for i := range 2 {
		t := new(tally)
		s.handed = append(s.handed, t)
		s.handsWG.Go(func() { s.takeOver(t, s.random("hand", i)) })
	}
	s.w = &writer{s: s, rng: s.random("writer", 0), ways: s.p.chosen()}
	s.thread(s.w.run)
	for i := range s.p.nfakewriters {
		s.thread(func() { s.fakeWriter(i) })
	}
	for i := range s.p.kfreeThreads {
		k := newKfreer(s, i)
		s.kfreers = append(s.kfreers, k)
		s.thread(k.run)
	}
	if s.owners != nil {
		s.owners.launch()
	}
	if s.maps != nil {
		s.maps.launch()
	}
	for _, t := range []struct {
		on bool
		fn func()
	}{
		{s.p.readExitDelay > 0, s.readExit},
		{s.p.nBarrierCbs > 0, s.barrierTest},
		{s.p.fwdProgress, s.forward},
		{s.p.onoffInterval > 0, s.onoff},
		{s.p.shuffleInterval > 0 && s.nreaders > 1, s.shuffle},
		{s.p.stutter > 0, s.stutterer},
		{s.p.stallCPU > 0, s.stall},
		{s.p.plantHang, s.hang},
	} {
		if t.on {
			s.thread(t.fn)
		}
	}
}

// end stops the threads in order and frees what is left.
func (s *session) end() {
	s.doing("waiting for threads")
	s.wg.Wait()
	close(s.hands)
	s.handsWG.Wait()
	s.doing("waiting for callbacks")
	for s.async.Load() > 0 {
		s.ops.barrier()
	}
	s.doing("a last grace period")
	if o := s.current.Swap(nil); o != nil {
		s.seen = fmt.Sprintf("%p", o)
		s.w.removed = append(s.w.removed, o)
	}
	s.ops.sync()
	for _, o := range s.w.removed {
		s.frees.Add(1)
		s.live.Add(-1)
		s.cache.Free(o)
	}
	if s.p.plantLost {
		s.cache.Alloc(0)
	}
	for _, k := range s.kfreers[:min(1, len(s.kfreers))] {
		k.drain()
	}
	s.doing("cleanups of Sheaves that were dropped")
	s.owners.end()
	s.doing("barriers of the caches")
	if s.maps != nil {
		s.maps.end()
	}
	s.cache.Barrier()
	s.kcache.Barrier()
	s.heap.Barrier()
}
