package scale

import (
	"cmp"
	"context"
	"math"
	"runtime"
	"slices"
	"strings"
	"time"

	"quiesce/internal/holds"
	"quiesce/internal/sys"
	"quiesce/preempt"
)

// holdLimitNS is what a pinned section or a lock hold may take.
const holdLimitNS = 50_000

// HoldsConfig says how to run.
type HoldsConfig struct {
	Objects  int           `json:"objects"`
	Duration time.Duration `json:"duration_ns"`
}

// HoldsReport has a row for each lock, and for each function that pins.
type HoldsReport struct {
	HoldsConfig
	Skipped    string    `json:"skipped,omitempty"` // why nothing was run
	PreemptRT  bool      `json:"preempt_rt"`
	Clock      string    `json:"clock"`
	ReadingNS  int64     `json:"reading_ns"` // of the clock; in every figure
	LimitNS    int64     `json:"limit_ns"`
	Rounds     int       `json:"rounds"`
	Control    HoldRow   `json:"control"` // empty sections
	Rows       []HoldRow `json:"rows"`
	Unmeasured int64     `json:"unmeasured"` // ended by another goroutine
	OK         bool      `json:"ok"`
	Partial    bool      `json:"partial"`
}

// HoldRow is a kind of section.
type HoldRow struct {
	Kind      string      `json:"kind"` // "pinned" or a lock's kind
	Name      string      `json:"name"` // of the lock, or the function that pins
	Count     uint64      `json:"count"`
	P50NS     int64       `json:"p50_ns"`
	P999NS    int64       `json:"p999_ns"`
	LongestNS int64       `json:"longest_ns"`
	ByWorkNS  int64       `json:"by_work_ns"` // the longest that interruptions don't explain
	Over      uint64      `json:"over_limit"`
	Explained float64     `json:"over_limit_explained"` // by interruptions
	Where     []HoldWhere `json:"where,omitempty"`      // those over the limit
	Limited   bool        `json:"limited"`              // the limit is for this kind
	OK        bool        `json:"ok"`
}

// HoldWhere counts the sections over the limit that ended in a function.
type HoldWhere struct {
	Function string `json:"function"`
	Over     uint64 `json:"over_limit"`
}

// NoHoldsTag says how to get a binary that measures.
const NoHoldsTag = "this binary does not measure: go run -tags holds ./cmd/quiesce scale holds"

// MeasureHolds does the library's heavy work and measures its pinned sections and
// lock holds.
func MeasureHolds(ctx context.Context, cfg HoldsConfig, tell Tell) (*HoldsReport, error) {
	if err := check(bounds{"objects", int64(cfg.Objects), 100, 1 << 22, false}); err != nil {
		return nil, err
	}
	r := &HoldsReport{HoldsConfig: cfg, PreemptRT: preempt.RT(), LimitNS: holdLimitNS, Rows: []HoldRow{}, OK: true}
	if !holds.Enabled {
		r.Skipped = NoHoldsTag
		return r, nil
	}
	r.Clock = holds.Clock()
	defer holds.Stop()
	var rounds []holds.Data
	for set := 1; ; set++ {
		for begin, n := sys.Nanotime(), len(rounds); len(rounds)-n < leastRounds || sys.Nanotime()-begin < int64(cfg.Duration); {
			holds.Start()
			err := runHoldsJobs(ctx, cfg.Objects, func(job string) { tell.say("round %d: %s", len(rounds)+1, job) })
			if err != nil {
				return nil, err
			}
			holds.Stop()
			if ctx.Err() != nil { // what a round has not done is not to count as short
				r.Partial = true
				break
			}
			rounds = append(rounds, holds.Read())
		}
		r.judge(rounds)
		if r.OK || r.Partial || set == mostSets {
			return r, nil
		}
	}
}

// mostSets is how often it is measured if a section was too long: the work repeats, and
// a minute in which others have the processors does not.
const mostSets = 3

// leastRounds are needed to tell work from interruptions. Untuned.
const leastRounds = 6

// judge makes the rows of what was measured, round by round.
func (r *HoldsReport) judge(rounds []holds.Data) {
	r.Rounds, r.Rows, r.Unmeasured, r.OK = len(rounds), r.Rows[:0], 0, true
	if r.Rounds == 0 {
		return
	}
	noise := interruptions{make([]uint64, holds.Buckets), rounds[0].Reading}
	for _, d := range rounds {
		noise.empty = min(noise.empty, d.Reading)
		r.Unmeasured += d.Foreign
		addTo(noise.control, d.Control.Hist)
	}
	r.ReadingNS = noise.empty

	type id struct{ kind, name string }
	groups := map[id]*group{}
	of := func(s holds.Site) *group {
		k := id{s.Kind.String(), s.Name}
		if s.Kind == holds.Pinned {
			f := inner(s.Stack)
			if !ours(f) {
				return nil // the apparatus, pinned by itself
			}
			k.name = shortName(f)
		}
		if groups[k] == nil {
			groups[k] = newGroup(len(rounds))
		}
		return groups[k]
	}
	control := newGroup(len(rounds))
	for i, d := range rounds {
		control.add(i, d.Control)
		for _, s := range d.Sites {
			if g := of(s); g != nil {
				g.add(i, s.Counts)
				g.site(s.ID)[i] = s.Hist
			}
		}
		for _, s := range d.Ends {
			// A pinned section's end may have another name than its beginning.
			if g := groups[id{s.Kind.String(), s.Name}]; g != nil {
				g.where[shortName(inner(s.Stack))] += s.N
			}
		}
	}
	r.Control = control.row("", "", noise)
	for k, g := range groups {
		row := g.row(k.kind, cmp.Or(k.name, "(no name)"), noise)
		r.Rows = append(r.Rows, row)
		r.OK = r.OK && row.OK
	}
	slices.SortFunc(r.Rows, func(a, b HoldRow) int {
		return cmp.Or(cmp.Compare(kindOrder(a.Kind), kindOrder(b.Kind)), cmp.Compare(a.Name, b.Name))
	})
}

func kindOrder(kind string) int {
	return slices.Index([]string{"pinned", "spins", "sleeps", "mutex"}, kind)
}

// group has what a row sums up.
type group struct {
	rounds  [][]uint64         // histograms
	sites   map[int][][]uint64 // the same for each place
	longest int64
	where   map[string]uint64 // the long ones, by where they ended
}

func newGroup(rounds int) *group {
	g := &group{rounds: make([][]uint64, rounds), sites: map[int][][]uint64{}, where: map[string]uint64{}}
	for i := range g.rounds {
		g.rounds[i] = make([]uint64, holds.Buckets)
	}
	return g
}

func (g *group) add(round int, c holds.Counts) {
	addTo(g.rounds[round], c.Hist)
	g.longest = max(g.longest, c.Longest)
}

func (g *group) site(id int) [][]uint64 {
	if g.sites[id] == nil {
		g.sites[id] = make([][]uint64, len(g.rounds))
	}
	return g.sites[id]
}

func addTo(sum, hist []uint64) {
	for b, n := range hist {
		sum[b] += n
	}
}

func (g *group) row(kind, name string, noise interruptions) HoldRow {
	row := HoldRow{Kind: kind, Name: name, LongestNS: g.longest, Limited: kind != holds.Mutex.String()}
	all := make([]uint64, holds.Buckets)
	for _, hist := range g.rounds {
		addTo(all, hist)
	}
	row.Count, row.Over = above(all, 0), above(all, holdLimitNS)
	row.P50NS, row.P999NS = quantile(all, row.Count, 0.5), quantile(all, row.Count, 0.999)
	row.Explained = noise.explain(all, holdLimitNS)
	// Few long sections of one place are lost among the noise of all places.
	row.ByWorkNS = noise.byWork(g.rounds)
	for _, rounds := range g.sites {
		row.ByWorkNS = max(row.ByWorkNS, noise.byWork(rounds))
	}
	for f, n := range g.where {
		row.Where = append(row.Where, HoldWhere{f, n})
	}
	slices.SortFunc(row.Where, func(a, b HoldWhere) int {
		return cmp.Or(cmp.Compare(b.Over, a.Over), cmp.Compare(a.Function, b.Function))
	})
	row.OK = !row.Limited || row.ByWorkNS < holdLimitNS
	return row
}

// above counts the sections of at least ns.
func above(hist []uint64, ns int64) (n uint64) {
	for b := len(hist) - 1; b >= 0 && holds.BucketTime(b) >= ns; b-- {
		n += hist[b]
	}
	return n
}

// interruptions are the times for which sections stand still: empty ones show
// them.
type interruptions struct {
	control []uint64 // histogram
	empty   int64    // ns
}

// rate returns how many interruptions of at least ns there are in a nanosecond.
func (i interruptions) rate(ns int64) float64 {
	var n uint64
	for b := holds.Bucket(max(ns, 0) + i.empty); b < len(i.control); b++ {
		n += i.control[b]
	}
	return float64(n) / max(total(i.control), 1)
}

// total is the time of all sections, in ns.
func total(hist []uint64) (ns float64) {
	for b, n := range hist {
		ns += float64(n) * float64(holds.BucketTime(b))
	}
	return ns
}

// explain returns how many sections of at least limit ns are expected if the
// work of none takes so long: each is hit in proportion to its length, and passes
// the limit if the interruption is longer than what is left.
func (i interruptions) explain(hist []uint64, limit int64) (expected float64) {
	for b, n := range hist {
		if t := holds.BucketTime(b); n > 0 && t < limit {
			expected += float64(n) * float64(t) * i.rate(limit-t)
		}
	}
	return expected
}

// byWork returns the longest time that sections take by their work: in three
// quarters of the rounds, or more, they take it at least twice, and more than
// three times as often as interruptions explain. A round has everything twice, and
// the work is the same in every round; interruptions come in bursts, of which one
// round has many and the next has none. Untuned.
func (i interruptions) byWork(rounds [][]uint64) int64 {
	longest := func(b int) bool {
		ns, many := holds.BucketTime(b), 0
		for _, hist := range rounds {
			if n := above(hist, ns); float64(n) > 3*i.explain(hist, ns)+1.5 {
				many++
			}
		}
		return 4*many >= 3*len(rounds)
	}
	for b := holds.Buckets - 1; b > 0; b-- {
		if longest(b) {
			return holds.BucketTime(b)
		}
	}
	return 0
}

// quantile returns the beginning of the bucket with the q-th of n sections.
func quantile(hist []uint64, n uint64, q float64) int64 {
	rank := uint64(math.Ceil(q * float64(n)))
	for b, k := range hist {
		if k >= rank {
			return holds.BucketTime(b)
		}
		rank -= k
	}
	return 0
}

// modulePrefix is the module's path with a slash, whatever its name.
var modulePrefix = func() string {
	pc, _, _, _ := runtime.Caller(0)
	module, _, _ := strings.Cut(runtime.FuncForPC(pc).Name(), "cmd/quiesce/")
	return module
}()

// plumbing are the packages that pin and lock for others.
var plumbing = []string{"internal/sys.", "internal/percpu.", "internal/pin.", "internal/holds.", "preempt.", "lock."}

// inner returns the name of the function that a section is put down to: the
// innermost that is no plumbing.
func inner(stack []runtime.Frame) string {
	for _, f := range stack {
		rest, _ := strings.CutPrefix(f.Function, modulePrefix)
		if !slices.ContainsFunc(plumbing, func(p string) bool { return strings.HasPrefix(rest, p) }) {
			return f.Function
		}
	}
	return ""
}

// ours reports whether a function is the library's.
func ours(function string) bool {
	rest, ok := strings.CutPrefix(function, modulePrefix)
	return ok && !strings.HasPrefix(rest, "cmd/") && !strings.HasPrefix(rest, "tests/") && !strings.HasPrefix(rest, "bench/")
}

// shortName is a function without the module, and without the marks of a
// receiver.
func shortName(function string) string {
	rest, _ := strings.CutPrefix(function, modulePrefix)
	return strings.NewReplacer("(*", "", ")", "", "[...]", "").Replace(rest)
}
