package predict

import (
	"cmp"
	"fmt"
	"slices"
)

// When a resource counts as bent.
const (
	bentShare = 0.10 // it takes that share of the Ps' time, or
	bentBusy  = 0.80 // it is busy for that share of the time
	bentKept  = 0.80 // less of the sheaves is reused whole
	bentPerP  = 0.80 // throughput per P falls below that share of one P's
)

// bends lists the resources that bend, the first one first.
func bends(all []int, byPs map[int]Result) (found []Bend) {
	for _, n := range all {
		if r := byPs[n]; r.Reused < bentKept {
			found = append(found, Bend{"depot bound", n, fmt.Sprintf("keeps %.0f %% of the sheaves that come back; the rest goes through the slabs", 100*r.Reused)})
			break
		}
	}
	for _, name := range resources {
		for _, n := range all {
			r := byPs[n]
			lost, busy := r.Lost[name], r.Busy[name]
			var why string
			switch {
			case n == 1 && name == resProc:
				continue // one P is always shared with the worker
			case lost >= bentShare:
				why = fmt.Sprintf("takes %.0f %% of the Ps' time", 100*lost)
			case busy >= bentBusy:
				why = fmt.Sprintf("is busy %.0f %% of the time", 100*busy)
			case name == resWorker && r.Growth > 0.05*r.Total*objectSize:
				why = fmt.Sprintf("can't keep up: %.0f %% of what is freed piles up", 100*r.Growth/(r.Total*objectSize))
			default:
				continue
			}
			found = append(found, Bend{name, n, why})
			break
		}
	}
	slices.SortStableFunc(found, func(a, b Bend) int { return cmp.Compare(a.Ps, b.Ps) })
	return found
}

// worst is what takes most of the Ps' time.
func (r Result) worst() (name string, share float64) {
	for _, n := range resources {
		if r.Lost[n] > share {
			name, share = n, r.Lost[n]
		}
	}
	return name, share
}

// answer says it in words.
func (r *Report) answer(all []int, byPs map[int]Result) (a []string) {
	say := func(format string, args ...any) { a = append(a, fmt.Sprintf(format, args...)) }
	if !r.OK {
		say("NOT TRUSTWORTHY HERE: the model is more than 30 %% off at one or two Ps (see the checks).")
	}
	if len(r.Bends) == 0 {
		say("Nothing bends up to %d Ps.", all[len(all)-1])
	} else {
		b := r.Bends[0]
		say("First to bend: the %s, at %d Ps: it %s.", b.Resource, b.Ps, b.Why)
		for _, o := range r.Bends {
			if o != b {
				say("Then the %s, at %d Ps: it %s.", o.Resource, o.Ps, o.Why)
			}
		}
	}
	if n, found := knee(all, byPs); found {
		name, share := byPs[n].worst()
		say("Throughput per P is below %.0f %% of that of %d P from %d Ps on; there most is lost to the %s (%.0f %%).", 100*bentPerP, all[0], n, name, 100*share)
		switch low, high := r.kneeRange(); {
		case low == 0:
		case high == 0:
			say("With one thing changed at a time that is from %d Ps to none of those tried.", low)
		default:
			say("With one thing changed at a time that is from %d to %d Ps.", low, high)
		}
	}
	best := map[int]Lever{}
	for _, l := range r.Levers {
		if l.Gain > best[l.Ps].Gain {
			best[l.Ps] = l
		}
	}
	ps := make([]int, 0, len(best))
	for n := range best {
		ps = append(ps, n)
	}
	slices.Sort(ps)
	for _, n := range ps {
		say("At %d Ps most would come from: %s (%.2f times the throughput).", n, best[n].Change, best[n].Gain)
	}
	return a
}
