package main

import "quiesce/bench/internal/harness"

// ref is a figure of a peer.
type ref struct {
	job          job
	peer, figure string
}

// target is what must hold: a, or a's ratio to b in the same round.
type target struct {
	harness.Target
	a, b  ref
	scale float64 // of a alone: the target's unit
	floor ref     // what a would be if the map took no time: above the limit, it says nothing of the map
}

const (
	million = 1_000_000
	entries = 5 * million // of the memory's targets
)

// targets are the ones that this command can measure.
func targets() (ts []target) {
	full := func(kind string, n int, peer, figure string) ref { return ref{job{kind, n}, peer, figure} }
	most := func(claim string, a, b ref, limit float64) {
		ts = append(ts, target{Target: harness.Target{Claim: claim, Limit: limit}, a: a, b: b})
	}
	for _, n := range []int{million, 8 * million} {
		hit := func(peer, way string) ref { return full(kindUint64, n, peer, "hit.2."+way) }
		size := short(n) + " integers, "
		most(size+"ReadLock each: of xsync's time", hit("rcuhash", wayEach), hit("xsync", wayEach), 0.85)
		ofXsync, ofBare := 0.75, 1.2
		if n > million {
			ofXsync, ofBare = 0.7, 1.1
		}
		for _, w := range []struct{ peer, id, name string }{
			{"rcuhash", wayReader, "rcu.Reader each"}, {"rcuhash", wayOne, "one section"}, {"huge", wayOne, "huge pages"},
		} {
			most(size+w.name+": of xsync's time", hit(w.peer, w.id), hit("xsync", wayEach), ofXsync)
			most(size+w.name+": of a bare map's time", hit(w.peer, w.id), hit("bare", wayEach), ofBare)
		}
	}
	most("1 M strings, one section: of xsync's time",
		full(kindString, million, "rcuhash", "hit.2."+wayOne), full(kindString, million, "xsync", "hit.2."+wayEach), 0.8)
	most("1 k integers, rcu.Reader: of xsync's time",
		full(kindUint64, 1000, "rcuhash", "hit.2."+wayReader), full(kindUint64, 1000, "xsync", "hit.2."+wayEach), 1.5)
	ts = append(ts, target{Target: harness.Target{Claim: "8 M integers, GetBatch of 16: × as fast as Get", AtLeast: true, Limit: 1.6},
		a: full(kindUint64, 8*million, "rcuhash", "hit.2."+wayOne), b: full(kindUint64, 8*million, "rcuhash", "hit.2."+wayBatch)})
	for _, n := range []int{million, 8 * million} {
		most(short(n)+" integers, one section: misses, of hits' time",
			full(kindUint64, n, "rcuhash", "miss.2."+wayOne), full(kindUint64, n, "rcuhash", "hit.2."+wayOne), 1)
	}
	for _, u := range []struct{ figure, what string }{{"put", "put"}, {"insert", "insert"}, {"delete", "delete"}} {
		most("1 M integers: "+u.what+", of xsync's time", full(kindUint64, million, "rcuhash", u.figure+".2."+wayEach),
			full(kindUint64, million, "xsync", u.figure+".2."+wayEach), 1)
	}
	for _, u := range []struct{ figure, what string }{{"put", "put"}, {"insert", "insert, delete"}} {
		ts = append(ts, target{Target: harness.Target{Claim: "1 M integers: Go-heap allocations of " + u.what, Limit: allocFree}, a: full(kindUint64, million, "rcuhash", "allocs."+u.figure), scale: 1})
	}
	grow := func(figure string) ref { return ref{job{kindGrow, million}, "rcuhash", figure} }
	return append(ts,
		target{Target: harness.Target{Claim: "5 M, 21 to 100 bytes: RSS of an entry", Limit: 155}, a: ref{job{kindTexts, entries}, "rcuhash", "bytes"}, scale: 1},
		target{Target: harness.Target{Claim: "5 M integers to integers: RSS of an entry", Limit: 32}, a: ref{job{kindRSS, entries}, "rcuhash", "bytes"}, scale: 1},
		target{Target: harness.Target{Claim: "growth: p99.9 of Get, of that at rest", Limit: 5}, a: grow("during"), b: grow("rest")},
		target{Target: harness.Target{Claim: "growth: longest Put, ms of CPU time", Limit: 1},
			a: grow("longest_put"), scale: 1e6, floor: grow("longest_idle")})
}

// allocFree is none an operation: what the process itself allocates while a
// work runs is below it.
const allocFree = 0.01

// judge compares what was measured with the targets.
func judge(all results, count int) []harness.Verdict {
	out := []harness.Verdict{}
	for _, t := range targets() {
		var rounds []float64
		as := figure(all, t.a.job, t.a.peer, t.a.figure, count)
		bs := figure(all, t.b.job, t.b.peer, t.b.figure, count)
		for k := range count {
			switch {
			case as[k] == nil:
			case t.b == ref{}:
				rounds = append(rounds, as[k]["v"]/t.scale)
			case bs[k] != nil && bs[k]["v"] > 0:
				rounds = append(rounds, as[k]["v"]/bs[k]["v"])
			}
		}
		v := t.Judge(rounds)
		if v.Verdict == harness.Missed && t.isBelowFloor(all, count) {
			v.Verdict = harness.Noisy
		}
		out = append(out, v)
	}
	return out
}

// isBelowFloor reports whether the machine alone misses the target.
func (t target) isBelowFloor(all results, count int) bool {
	var floors []float64
	for _, f := range figure(all, t.floor.job, t.floor.peer, t.floor.figure, count) {
		if f != nil {
			floors = append(floors, f["v"]/t.scale)
		}
	}
	return len(floors) > 0 && harness.Median(floors) > t.Limit
}
