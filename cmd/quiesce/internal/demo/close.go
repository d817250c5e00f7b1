package demo

import (
	"fmt"
	"time"

	"quiesce/rcu"
)

// count sums what readers and writers counted.
func (j *job) count() {
	rep := &j.rep
	var longest time.Duration
	for _, r := range j.readers {
		rep.Lookups += r.lookups.Load()
		rep.Misses += r.misses.Load()
		rep.Holds += r.holds.Load()
		longest = max(longest, r.longest)
	}
	rep.LongestHoldNS = int64(longest)
	var by [contexts]uint64
	for _, w := range j.writers {
		rep.Replacements += w.replaced.Load()
		rep.Deletes += w.deleted.Load()
		rep.Reinserts += w.inserted.Load()
		rep.RefusedWrites += w.refused.Load()
		rep.NoMemory += w.noMemory.Load()
		rep.HeldPages += w.peak
		for c := range by {
			by[c] += w.byContext[c].Load()
		}
	}
	rep.FreeRCU = Contexts{by[plain], by[rawLock], by[preemptOff], by[irqOff], by[hardirq]}
	rep.LookupsPerS = float64(rep.Lookups) / rep.RunS
	rep.ReplacementsPerS = float64(rep.Replacements) / rep.RunS
	rep.DeletesPerS = float64(rep.Deletes) / rep.RunS
	rep.ReinsertsPerS = float64(rep.Reinserts) / rep.RunS
}

// close checks every path once more, reads the figures, closes the map and the
// allocator, and counts what was not returned to them.
func (j *job) close() {
	rep := &j.rep
	j.sweep()
	j.files.Barrier()
	rep.Routes, rep.RefusedAllocs = j.routes()
	s := j.pages.Stats()
	rep.PeakBytes, rep.LimitBytes = s.Peak, s.Limit
	rep.RefusedPages = s.Refusals
	for _, w := range j.writers {
		rep.RefusedPages -= w.nils
	}

	// Every object given to FreeRCU went in by one of two routes, and came back
	// by one of three.
	given, r := rep.FreeRCU.Total(), rep.Routes
	in, back := r.Array+r.Fallback, r.Reused+r.Bulk+r.Chained
	if in != given {
		j.leak(diff(in, given), fmt.Sprintf("%d objects were given to FreeRCU, %d went into arrays or on the chain", given, in))
	} else if back != given {
		j.leak(diff(back, given), fmt.Sprintf("%d objects were given to FreeRCU, %d were reclaimed", given, back))
	}
	err := j.files.Close()
	out := 0
	for _, s := range j.files.Stats() {
		out += s.Out
	}
	if out > 0 || err != nil {
		j.leak(uint64(max(out, 1)), fmt.Sprint("the map's Close: ", err))
	}
	// Close counts exactly, when its own goroutines are at rest; Stats doesn't.
	if err := j.pages.Close(); err != nil {
		j.leak(1, fmt.Sprint("the page allocator's Close: ", err))
	}
	rep.IntegrityErrors = j.faults.n
	rep.IntegritySamples = j.samples()
}

func (j *job) leak(n uint64, what string) {
	j.rep.Leaks += n
	j.rep.LeakSamples = append(j.rep.LeakSamples, what)
}

func diff(a, b uint64) uint64 { return max(a, b) - min(a, b) }

// sweep checks that the map holds exactly what the writers left in it.
func (j *job) sweep() {
	there := 0
	for i := range j.entries {
		e := &j.entries[i]
		w := e.word.Load()
		g := rcu.ReadLock()
		r := j.files.Get(g, e.path)
		found := r != nil
		ok := found && r.intact(e.tag) && r.gen == genOf(w)
		g.Unlock()
		switch {
		case phaseOf(w) == present && !found:
			j.fault(e, "at the end it was not in the map")
		case phaseOf(w) == present && !ok:
			j.fault(e, "at the end its record was not the one that was written last")
		case phaseOf(w) != present && found:
			j.fault(e, "at the end it was in the map, though deleted")
		}
		if phaseOf(w) == present {
			there++
		}
	}
	if n := j.files.Len(); n != there && len(j.entries) > 0 {
		j.fault(&j.entries[0], fmt.Sprintf("at the end the map has %d keys, the writers left %d", n, there))
	}
}
