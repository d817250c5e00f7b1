package predict

import (
	"runtime"
	"sync"

	"quiesce/internal/sys"
)

const (
	crowdOf = 3       // threads for each processor
	lostFor = 200_000 // ns between two looks at the clock: the thread lost its processor

	leastWatched = 100_000_000 // ns: some slices of each thread
)

// slice measures how long a thread keeps its processor where others want it: there are
// several for each, and all look at the clock all the while. The first and the last
// run of each are cut short, and not counted.
func (m *meter) slice() error {
	n := crowdOf * runtime.NumCPU()
	defer procs(n)()
	nanos := max(int64(m.windows)*1_000_000, leastWatched)
	var mu sync.Mutex
	var wg sync.WaitGroup
	ran, runs := 0.0, 0.0
	end := sys.Nanotime() + nanos
	for range n {
		wg.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			sum, count := runLengths(end, func() bool { return m.ctx.Err() != nil })
			mu.Lock()
			ran, runs = ran+sum, runs+count
			mu.Unlock()
		})
	}
	wg.Wait()
	m.p.Slice = float64(nanos) // nobody lost a processor
	if runs > 0 {
		m.p.Slice = ran / runs
	}
	return nil
}

// runLengths looks at the clock until end, and returns how many whole runs there were
// between two losses of the processor, and their sum.
func runLengths(end int64, stopped func() bool) (sum, count float64) {
	last := sys.Nanotime()
	began := int64(0) // of a whole run; 0: the first one, which is not
	for last < end {
		now := sys.Nanotime()
		if now-last > lostFor {
			if began != 0 {
				sum, count = sum+float64(last-began), count+1
			}
			if began = now; stopped() {
				break
			}
		}
		last = now
	}
	return sum, count
}
