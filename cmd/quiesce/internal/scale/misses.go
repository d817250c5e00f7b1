package scale

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/rcu"
)

// stage is how far a child goes. Each does what the one before it does.
type stage int

const (
	filled    stage = iota // objects allocated, written, shuffled; caches swept
	enqueued               // freed, under a reader; caches swept
	reclaimed              // the reader gone, all back with the allocator; caches swept
	reused                 // allocated again, and the first word of each written
	stages
)

// coldWay is one way to reclaim.
type coldWay struct {
	name, strategy string
	depot          int64
	does           string
}

var coldWays = []coldWay{
	{"list", "list", 1 << 40, "objects chained through their rcu_head, freed one by one"},
	{"array", "array", 1 << 40, "pointers in arrays, freed from there"},
	{"kfree_bulk", "sheaf", 0, "RCU sheaves, each emptied by kfree_bulk into slabs"},
	{"hand-over", "sheaf", 1 << 40, "RCU sheaves, handed over whole to the next allocations"},
}

// MissesConfig says how to run.
type MissesConfig struct {
	Objects  int      `json:"objects"`
	Short    bool     `json:"short"` // reclaim only, without compare's array
	Child    []string `json:"-"`     // the command that calls MissesChild
	Valgrind string   `json:"-"`     // "": the one in PATH
}

// MissesReport has a row for each way.
type MissesReport struct {
	MissesConfig
	Caches  string     `json:"simulated_caches"`
	Rows    []CacheRow `json:"ways"`
	OK      bool       `json:"ok"`
	Skipped string     `json:"skipped,omitempty"` // why nothing was run
	Partial bool       `json:"partial"`
}

// CacheRow is in misses for an object.
type CacheRow struct {
	Way     string  `json:"way"`
	Does    string  `json:"does"`
	Enqueue *Misses `json:"enqueue,omitempty"`
	Reclaim Misses  `json:"reclaim"`
	First   *Misses `json:"first_write,omitempty"` // with its allocation
	OfList  float64 `json:"ll_of_list"`            // at reclaim, as a share of the list's
	OK      bool    `json:"ok"`
}

// Misses are misses of data, reads and writes.
type Misses struct {
	D1 float64 `json:"d1"`
	LL float64 `json:"ll"`
}

// coldRuns is how often each stage is run: now and then the runtime or a worker,
// which go by real time, read some megabytes in one of them.
const coldRuns = 3

// missLimit is the target: a line holds eight pointers.
const missLimit = 1.0 / 8

// The caches that valgrind simulates: bytes, ways, line. Objects are to be far
// more than LL, which is smaller than any machine's, since valgrind is slow.
const simulatedD1, simulatedLL = "32768,8,64", "1048576,16,64"

// ErrNoValgrind says that valgrind is not installed.
var ErrNoValgrind = errors.New("valgrind is not installed (apt install valgrind)")

// CountMisses counts the cache misses of cold objects at each stage.
func CountMisses(ctx context.Context, cfg MissesConfig, tell Tell) (*MissesReport, error) {
	if err := check(bounds{"objects", int64(cfg.Objects), 1000, 1 << 20, false}); err != nil {
		return nil, err
	}
	r := &MissesReport{MissesConfig: cfg, Caches: "simulated: D1 " + simulatedD1 + ", LL " + simulatedLL, OK: true}
	if r.Valgrind == "" {
		var err error
		if r.Valgrind, err = exec.LookPath("valgrind"); err != nil {
			r.Skipped = ErrNoValgrind.Error()
			return r, nil
		}
	}
	dir, err := os.MkdirTemp("", "quiesce-cachegrind-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for i, way := range coldWays {
		if cfg.Short && way.name == "array" {
			continue
		}
		var at [stages]Misses
		for s := range stages {
			tell.say("%s, stage %d of %d", way.name, i*int(stages)+int(s)+1, len(coldWays)*int(stages))
			if cfg.Short && s != enqueued && s != reclaimed {
				continue
			}
			for n := range coldRuns {
				m, err := r.child(ctx, dir, way, s)
				if ctx.Err() != nil {
					r.Partial = true
					return r, nil
				}
				if err != nil {
					return nil, err
				}
				if n > 0 { // what a run has more is the runtime's
					m.D1, m.LL = min(m.D1, at[s].D1), min(m.LL, at[s].LL)
				}
				at[s] = m
			}
		}
		row := CacheRow{Way: way.name, Does: way.does, Reclaim: r.between(at[enqueued], at[reclaimed])}
		if !cfg.Short {
			e, f := r.between(at[filled], at[enqueued]), r.between(at[reclaimed], at[reused])
			row.Enqueue, row.First = &e, &f
		}
		r.Rows = append(r.Rows, row)
		r.judge(&r.Rows[len(r.Rows)-1])
	}
	return r, nil
}

// judge compares a row with the list's, which is the first.
func (r *MissesReport) judge(row *CacheRow) {
	// LL misses are those that go to memory. kfree_bulk's bits are a 128th of the
	// objects: shuffled, and too many for D1, they miss it, and hit LL.
	row.OfList = max(row.Reclaim.LL, 0) / r.Rows[0].Reclaim.LL
	// compare's array is there for comparison: it is not what ships.
	row.OK = row.OfList <= missLimit || row.Way == "list" || row.Way == "array"
	r.OK = r.OK && row.OK
}

func (r *MissesReport) between(a, b Misses) Misses {
	n := float64(r.Objects)
	return Misses{(b.D1 - a.D1) / n, (b.LL - a.LL) / n}
}

// child runs one stage and returns all of its misses.
func (r *MissesReport) child(ctx context.Context, dir string, way coldWay, s stage) (Misses, error) {
	out := filepath.Join(dir, "out")
	args := append([]string{"--tool=cachegrind", "--cache-sim=yes", "--D1=" + simulatedD1, "--LL=" + simulatedLL,
		"--cachegrind-out-file=" + out}, r.Child...)
	// Where threads contend for one of its locks, the runtime reads the clock by
	// RDTSCP, which not every valgrind knows; without it, by RDTSC.
	c := kit.Child{Command: append([]string{r.Valgrind}, args...), Env: []string{"GOMAXPROCS=1", "GOGC=off", "GODEBUG=cpu.rdtscp=off"}}
	e, err := kit.Ask(ctx, c, missesOrder{way.strategy, way.depot, r.Objects, s}, func(struct{}) bool { return false })
	if err == nil && e.Err != nil {
		err = fmt.Errorf("%w: %s", e.Err, cmp.Or(e.Log.Cause(), e.Log.Last()))
	}
	if err != nil {
		return Misses{}, fmt.Errorf("%s under cachegrind: %w", way.name, err)
	}
	f, err := os.Open(out)
	if err != nil {
		return Misses{}, err
	}
	defer f.Close()
	return parseCachegrind(f)
}

// parseCachegrind reads the totals of cachegrind's output file.
func parseCachegrind(f io.Reader) (Misses, error) {
	var events []string
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if rest, ok := strings.CutPrefix(in.Text(), "events:"); ok {
			events = strings.Fields(rest)
		}
		rest, ok := strings.CutPrefix(in.Text(), "summary:")
		if !ok {
			continue
		}
		values := strings.Fields(rest)
		if len(values) != len(events) {
			return Misses{}, fmt.Errorf("cachegrind's summary has %d values for %d events", len(values), len(events))
		}
		var m Misses
		found := 0
		for i, e := range events {
			n, err := strconv.ParseFloat(values[i], 64)
			if err != nil {
				return Misses{}, fmt.Errorf("cachegrind's summary: %w", err)
			}
			switch e {
			case "D1mr", "D1mw":
				m.D1 += n
				found++
			case "DLmr", "DLmw":
				m.LL += n
				found++
			}
		}
		if found != 4 {
			return Misses{}, fmt.Errorf("cachegrind counted %v, and no misses of data", events)
		}
		return m, nil
	}
	if err := in.Err(); err != nil {
		return Misses{}, err
	}
	return Misses{}, errors.New("cachegrind's output has no summary")
}

// missesOrder is what a process under cachegrind does.
type missesOrder struct {
	Strategy string `json:"strategy"`
	Depot    int64  `json:"depot_bytes"`
	Objects  int    `json:"objects"`
	Last     stage  `json:"last_stage"`
}

// MissesChild is the process under cachegrind. It reads its order from in. It
// has no second goroutine, whose misses would be counted too.
func MissesChild(in io.Reader) error {
	var o missesOrder
	if err := kit.Receive(in, &o, nil); err != nil {
		return err
	}
	// Valgrind gives a process little address space.
	cells, err := compare.New(o.Strategy, compare.Config{Depot: o.Depot, Reserve: 64 << 20})
	if err != nil {
		return err
	}
	_, err = goCold(cells, o.Objects, o.Last) // the reader stays: nothing may begin now
	return err
}

// swept is four times LL, and no allocation, which would be cleared or not.
var swept [4 << 20 / 8]uint64

// goCold goes through the stages. It leaves things as they are at the last one:
// the process ends. The sweeps miss too, so all of them are done in any case.
func goCold(in *compare.Instance, n int, last stage) (end func(), err error) {
	cold := func() {
		for i := 0; i < len(swept); i += 8 {
			swept[i]++
		}
	}
	objs := make([]*compare.Object, n)
	for i := range objs {
		if objs[i] = in.Alloc(); objs[i] == nil {
			return nil, errMemory
		}
		objs[i].Stamp = uint64(i)
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(n, func(i, j int) { objs[i], objs[j] = objs[j], objs[i] })
	cold()
	g := rcu.ReadLock()
	end = g.Unlock
	if last >= enqueued {
		for _, o := range objs {
			in.Free(o)
		}
	}
	cold()
	if last >= reclaimed {
		end()
		in.Barrier()
		end = func() {}
	}
	cold()
	if last >= reused {
		for range n {
			o := in.Alloc()
			if o == nil {
				return nil, errMemory
			}
			o.Stamp = 1
		}
	}
	return end, nil
}
