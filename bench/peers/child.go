package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/bench/internal/harness"
)

// The Go half of c/peers.h: clocks, batches and figures of a process that
// measures one row, once.

// childArg as the first argument makes this program such a process. The others
// are those of the C programs, after the name of what to measure.
const childArg = "child"

// task is what a child is to do.
type task struct {
	mode    string
	ns      float64 // how long a batch takes, about
	batches int
	objects int // threads, for readers
	out     io.Writer
}

// children are the measurements that are written in Go.
var children = map[string]func(*task) error{
	"readers/rcu":          readersOf(always(chunkRCU)),
	"readers/reader":       readersOf(chunksReader),
	"readers/pinned":       readersOf(always(chunkPinned)),
	"readers/procpin":      readersOf(always(chunkProcPin)),
	"readers/rwmutex":      readersOf(always(chunkRWMutex)),
	"readers/rbmutex":      readersOf(always(chunkRBMutex)),
	"readers/pointer":      readersOf(always(chunkPointer)),
	"alloc/quiesce":        func(t *task) error { return allocQuiesce(t, false) },
	"alloc/quiesce-bulk":   func(t *task) error { return allocQuiesce(t, true) },
	"alloc/sheaf":          allocSheaf,
	"alloc/kmalloc":        allocKmalloc,
	"alloc/new":            allocNew,
	"alloc/pool":           allocPool,
	"alloc/modernc":        allocModernc,
	"reclaim/quiesce":      reclaimHandOver,
	"reclaim/quiesce-bulk": reclaimBulk,
	"reclaim/quiesce-free": reclaimFree,
	"reclaim/sheaf":        reclaimSheaf,
	"reclaim/quiesce-auto": func(t *task) error { return reclaimQuiesce(t, false) },
	"reclaim/batch":        reclaimBatch,
	"reclaim/new":          reclaimNew,
	"gp/rcu":               gracePeriods(readerPreemptible, synchronize),
	"gp/pinned":            gracePeriods(readerPinned, synchronize),
	"gp/membarrier":        gracePeriods(readerPinned, membarriers),
}

// child measures and returns the exit status.
func child(args []string, out, errs io.Writer) int {
	t, run, err := parseTask(args)
	if err == nil {
		t.out = out
		if runtime.GOMAXPROCS(0) < 2 { // as the C programs have as many threads as they like
			runtime.GOMAXPROCS(2)
		}
		err = run(t)
	}
	if err != nil {
		fmt.Fprintln(errs, err)
		return harness.ExitFailed
	}
	return harness.ExitOK
}

func parseTask(args []string) (*task, func(*task) error, error) {
	if len(args) != 5 || children[args[0]] == nil {
		return nil, nil, fmt.Errorf("no such measurement: %q", args)
	}
	ns, err := strconv.ParseFloat(args[2], 64)
	if err != nil || ns <= 0 {
		return nil, nil, fmt.Errorf("NS is more than 0, not %s", args[2])
	}
	batches, err := strconv.Atoi(args[3])
	if err != nil || batches < 1 {
		return nil, nil, fmt.Errorf("BATCHES is more than 0, not %s", args[3])
	}
	objects, err := strconv.Atoi(args[4])
	if err != nil || objects < 1 {
		return nil, nil, fmt.Errorf("OBJECTS is more than 0, not %s", args[4])
	}
	return &task{mode: args[1], ns: ns, batches: batches, objects: objects}, children[args[0]], nil
}

func (t *task) noSuchMode() error { return fmt.Errorf("no such mode: %s", t.mode) }

func (t *task) figure(name string, value float64) {
	fmt.Fprintf(t.out, "figure %s %.3f\n", name, value)
}

var started = time.Now()

// now is the monotonic clock.
func now() float64 { return float64(time.Since(started)) }

// run runs work(n) with an n that makes it last a batch, which is the warm-up,
// and then t.batches times: the median of the batches is the figure, per object
// of which an operation has so many.
func (t *task) run(work func(n int), objects int) {
	n := 1
	timed := func() float64 {
		start := now()
		work(n)
		return now() - start
	}
	for {
		took := timed()
		for try := 0; try < 3 && took >= t.ns; try++ { // or was it disturbed?
			took = min(took, timed())
		}
		if took >= t.ns {
			break
		}
		if took > t.ns/64 {
			n = int(float64(n)*t.ns/took*1.1) + 1
		} else {
			n *= 8
		}
	}
	v := make([]float64, t.batches)
	used := harness.CPUTime()
	for i := range v {
		v[i] = timed() / float64(n*objects)
	}
	used = harness.CPUTime() - used
	t.figure("ns", harness.Median(v))
	t.figure("cpu", used/float64(n*objects*t.batches))
}

// peakStarts forgets the peak so far; the memory in use now is returned.
func peakStarts() float64 {
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // not on every system
	return harness.Status("VmRSS")
}

func (t *task) peakEnds(before float64) { t.figure("peak_mb", max(harness.Status("VmHWM")-before, 0)) }

var evicted []uint64

// evict pushes everything out of the caches that a core has for itself.
func evict() {
	if evicted == nil {
		evicted = make([]uint64, 64<<20/8)
	}
	for i := 0; i < len(evicted); i += 8 {
		evicted[i]++
	}
}

func shuffle[T any](v []T) {
	rand.Shuffle(len(v), func(i, j int) { v[i], v[j] = v[j], v[i] })
}

const (
	chunkPairs = 16384 // pairs between two readings of the clock
	maxChunks  = 4096  // that a reader remembers, the last ones
)

// ended is a reader's chunks so far, for the others to read.
type ended struct {
	n atomic.Int64
	_ [120]byte
}

// always is a maker of chunks that need no state.
func always(chunk func()) func() func() { return func() func() { return chunk } }

// readersOf runs chunks in t.objects goroutines at once, each of its own making. Every one takes the
// time of each chunk; the median of all is the figure. Of several goroutines'
// chunks only those count in which all others ended one too: readers that take
// turns don't contend. Nor more than a few, and the chunk's own thread was not
// preempted, by its CPU time.
func readersOf(made func() func()) func(*task) error {
	return func(t *task) error {
		var ready, done sync.WaitGroup
		var mu sync.Mutex
		var together, alone []float64
		var chunks int64
		progress := make([]ended, t.objects)
		gate := make(chan struct{})
		used := harness.CPUTime()
		for me := range progress {
			ready.Add(1)
			done.Go(func() {
				runtime.LockOSThread() // which has the CPU time
				defer runtime.UnlockOSThread()
				yes, no := make([]float64, 0, maxChunks), make([]float64, 0, maxChunks)
				seen := make([]int64, t.objects)
				n := int64(0)
				chunk := made()
				chunk()
				ready.Done()
				<-gate
				start := now()
				for next := start; next-start < t.ns*float64(t.batches); {
					used, last := harness.ThreadTime(), now()
					chunk()
					next = now()
					used = harness.ThreadTime() - used
					n++
					progress[me].n.Store(n)
					if others(progress, me, seen) && (used == 0 || used > 0.9*(next-last)) {
						yes = remember(yes, next-last)
					} else {
						no = remember(no, next-last)
					}
				}
				mu.Lock()
				together, alone = append(together, yes...), append(alone, no...)
				chunks += n + 1
				mu.Unlock()
			})
		}
		ready.Wait()
		close(gate)
		done.Wait()
		used = harness.CPUTime() - used
		percent := float64(len(together)) / float64(len(together)+len(alone)) * 100
		if t.objects > 1 {
			t.figure("together_percent", percent)
		}
		if t.objects == 1 || percent < enoughPercent {
			together = append(together, alone...)
		}
		t.figure("ns", harness.Median(together)/chunkPairs)
		t.figure("cpu", used/float64(chunks*chunkPairs))
		return nil
	}
}

const (
	fewChunks     = 4
	enoughPercent = 5 // with fewer chunks that count, all do
)

// others reports whether all of them ended a chunk, or a few, since the last
// time.
func others(progress []ended, me int, seen []int64) bool {
	all := true
	for i := range progress {
		n := progress[i].n.Load()
		all = all && (i == me || n > seen[i] && n <= seen[i]+fewChunks)
		seen[i] = n
	}
	return all
}

// remember appends, and forgets an old value where there are enough.
func remember(v []float64, x float64) []float64 {
	if len(v) == maxChunks {
		v = v[:copy(v, v[maxChunks/2:])]
	}
	return append(v, x)
}
