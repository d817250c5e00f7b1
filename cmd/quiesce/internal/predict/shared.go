package predict

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"

	"quiesce/internal/sys"
)

// What processors share, per 1,000 objects: the figures that go run ./tests/shared
// counts, foretold. They are closed forms, made before anything is counted: most of the
// code alone, and what a crowd on few processors adds (crowd.go) of parameters, too.

// Shared is per 1,000 objects. Atomic operations of a P on words of its own are not
// among them.
type Shared struct {
	RMWs        float64 `json:"read_modify_writes"`
	Holds       float64 `json:"holds"`
	Membarriers float64 `json:"membarriers"`
}

// What a sheaf costs from the P that fills it back to a P that empties it, in
// read-modify-writes. A push or a pop is a compare-and-swap and a count.
const (
	opRMWs    = 2
	closeRMWs = 2 + opRMWs       // two counts; the pending stack
	ripeRMWs  = opRMWs + 2 + 2   // off the ripe stack, two counts, two statistics
	tellRMWs  = 3 * 2 / untold   // a group's changes to the sums, as it is closed and as it is ripe
	depotRMWs = 2 * (opRMWs + 1) // into the depot and out of it, with its objects
	emptyRMWs = 2 * opRMWs       // of a P: the empty sheaf to the depot, another out of it
	helpRMWs  = 3                // a helper comes, is counted, and goes
	waitRMWs  = 10               // a grace period: cookies, its driver, a membarrier
	waitHolds = 4                // a caller's queue twice, the driver's lock, the membarrier's turn
	tryRMWs   = 1                // a try to make sheaves ripe asks for a grace period
	slabRMWs  = 20               // a slab's pages, there and back
	holdTakes = 128              // slab's objectsPerHold
	untold    = 4.0              // and its untoldSheaves
	tries     = 2                // of a batch: one helper collects, one ripens

	// leftOver is the share of batches that are no multiple of what a helper takes.
	// The helper that takes the last of one collects the next then, has something in
	// hand and does not yield: so the next one does.
	leftOver = (helpTakes - 1.0) / helpTakes
)

// cookieRMWs is 1 where a cookie is a read-modify-write of the sequence.
func cookieRMWs() float64 {
	if sys.HasFence {
		return 0
	}
	return 1
}

// batch is how many sheaves share a grace period.
func (p *Params) batch() float64 { return max(helpOwn/(p.SheafCap*objectSize), 1) }

// Foretell is what a run of a workload of tests/shared shares. bulk is the share of
// sheaves that the depot has no room for. ok is false for an unknown workload.
//
// The number of Ps has no part in it but by bulk, and by what it costs that there are
// more of them than processors: that is the design's claim.
func (p *Params) Foretell(workload string, r Counting, bulk float64) (s Shared, ok bool) {
	switch workload {
	case "alloc", "remote", "read":
		return Shared{}, true // sheaves stay with their P, or change hands between its slots
	case "churn", "sheaf":
	default:
		return Shared{}, false
	}
	c := p.crowd(r)
	batch := p.batch()
	helps := 1.0/helpTakes + 1/batch // one of a batch comes again after its yield
	tries := tries / batch
	rmws := closeRMWs + cookieRMWs() + ripeRMWs + tellRMWs + depotRMWs + helps*helpRMWs + waitRMWs/batch + tries*tryRMWs
	if workload == "churn" {
		rmws += emptyRMWs // a Sheaf keeps the empty one
	}
	slabs := p.SheafCap / perSlab
	holds := tries + waitHolds/batch + bulk*(p.SheafCap/holdTakes+2) + c.fresh*p.freshHolds()
	rmws += bulk*slabs*slabRMWs + c.fresh*p.freshRMWs()
	per := 1000 / p.SheafCap
	return Shared{RMWs: rmws * per, Holds: holds * per, Membarriers: per / batch}, true
}

// Counted is what tests/shared counted of a workload.
type Counted struct {
	Workload string `json:"workload"`
	Procs    int    `json:"gomaxprocs"`
	Shared   `json:"per_1000_objects"`

	CPUs    int `json:"-"` // of the machine
	Objects int `json:"-"` // of the run
}

// ReadCounted reads the output of go run ./tests/shared -json.
func ReadCounted(r io.Reader) ([]Counted, error) {
	var rep struct {
		CPUs    int       `json:"cpus"`
		Objects int       `json:"objects"`
		Rows    []Counted `json:"rows"`
	}
	if err := json.NewDecoder(r).Decode(&rep); err != nil {
		return nil, fmt.Errorf("predict: not the output of go run ./tests/shared -json: %w", err)
	}
	if len(rep.Rows) == 0 || rep.CPUs < 1 || rep.Objects < 1 {
		return nil, errors.New("predict: not the output of go run ./tests/shared -json: it has no rows, CPUs or objects")
	}
	for i := range rep.Rows {
		rep.Rows[i].CPUs, rep.Rows[i].Objects = rep.CPUs, rep.Objects
	}
	return rep.Rows, nil
}

// Foretold is a figure that was foretold, and counted if Counted is not NaN.
type Foretold struct {
	Workload string   `json:"workload"`
	Ps       int      `json:"ps"`
	What     string   `json:"what"`
	Foretold float64  `json:"foretold"`
	Counted  *float64 `json:"counted"` // nil: not
	OK       bool     `json:"within_30_percent"`
}

// sharedSlack is per 1,000 objects: less than that is not a cost. It is far below the
// membarriers of a batch.
const sharedSlack = 0.005

// alike reports whether a foretold figure is right.
func alike(foretold, counted float64) bool {
	return math.Abs(foretold-counted) <= tolerance*counted+sharedSlack ||
		foretold == 0 && counted < 0.5 // what each P needs once
}

// sharedPs is the number of Ps that is foretold, the most that tests/shared counts.
const sharedPs = 64

// sharedObjects is how many objects a run of it has if nobody says otherwise.
const sharedObjects = 1 << 24

// foretell lists the figures of sharedPs Ps, with what was counted, if anything was.
func (p *Params) foretell(bulk float64, counted []Counted) (all []Foretold) {
	for _, w := range []string{"alloc", "churn", "sheaf", "remote", "read"} {
		run := Counting{Ps: sharedPs, Procs: runtime.NumCPU(), Objects: sharedObjects}
		var is *Counted
		for i := range counted {
			if counted[i].Workload == w && counted[i].Procs == sharedPs {
				is = &counted[i]
				run.Procs, run.Objects = is.CPUs, is.Objects
			}
		}
		s, _ := p.Foretell(w, run, bulk)
		add := func(what string, foretold float64, of func(Shared) float64) {
			f := Foretold{Workload: w, Ps: sharedPs, What: what, Foretold: foretold, OK: true}
			if is != nil {
				v := of(is.Shared)
				f.Counted, f.OK = &v, alike(foretold, v)
			}
			all = append(all, f)
		}
		add("read-modify-writes", s.RMWs, func(s Shared) float64 { return s.RMWs })
		add("lock holds", s.Holds, func(s Shared) float64 { return s.Holds })
		add("membarriers", s.Membarriers, func(s Shared) float64 { return s.Membarriers })
	}
	return all
}
