package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"quiesce/tests/internal/overlay"
)

// workloads are those of load, with what they do.
var workloads = []struct{ name, about string }{
	{"alloc", "Alloc and Free, 16 objects out"},
	{"churn", "Alloc and FreeRCU"},
	{"sheaf", "Alloc and FreeRCU through a Sheaf of the goroutine's own"},
	{"remote", "Alloc here, Free on another goroutine, 1000 at a time"},
	{"read", "rcu.ReadLock and Unlock"},
}

// procs are the numbers of Ps. The first and the last are compared.
var procs = []int{2, 16, 64}

// grown reports whether a count per 1,000 objects grows with the Ps: by more than
// half, and by more than 1.
func grown(few, many float64) bool { return many > 1.5*few+1 }

// figures are per 1,000 objects.
type figures struct {
	RMWs         float64 `json:"read_modify_writes"`
	Own          float64 `json:"read_modify_writes_of_own_words"` // those of a P's words by that P
	Holds        float64 `json:"holds"`
	Membarriers  float64 `json:"membarriers"`
	GracePeriods float64 `json:"grace_periods"`
}

// judged are the figures that must not grow, by name.
func (f figures) judged() map[string]float64 {
	return map[string]float64{"read-modify-writes": f.RMWs, "holds": f.Holds, "membarriers": f.Membarriers}
}

// row is a workload with a number of Ps: the run that is in the middle by its
// read-modify-writes.
type row struct {
	Workload string `json:"workload"`
	Procs    int    `json:"gomaxprocs"`
	figures  `json:"per_1000_objects"`
	Sites    map[int]float64 `json:"per_1000_objects_by_site"` // by index in the report's sites
	NS       float64         `json:"ns_per_object"`            // elapsed, by all goroutines; counting included
}

// report is what all runs found.
type report struct {
	OK      bool     `json:"ok"`
	Date    string   `json:"date"`
	CPUs    int      `json:"cpus"`
	Go      string   `json:"go"`
	Objects int      `json:"objects"` // of a run
	Runs    int      `json:"runs"`
	Rows    []row    `json:"rows"`
	Grown   []string `json:"grown"` // what grows, in words
	Sites   []site   `json:"sites"`
}

// moment and outcome are what load prints.
type moment struct {
	Counts       []uint64 `json:"counts"`
	Membarriers  uint64   `json:"membarriers"`
	GracePeriods uint64   `json:"grace_periods"`
}

type outcome struct {
	Objects int     `json:"objects"`
	Seconds float64 `json:"seconds"`
	Before  moment  `json:"before"`
	After   moment  `json:"after"`
	End     moment  `json:"end"`
	Last    moment  `json:"last"`
}

// build compiles load with counters in the library, in dir.
func build(ctx context.Context, root, dir string) (binary string, o *overlaid, err error) {
	o, err = instrumented(root, counted)
	if err != nil {
		return "", nil, err
	}
	o.files["tests/shared/load/tally.go"] = fmt.Sprintf("package main\n\nimport %q\n\nfunc init() { counts = tally.Counts }\n", o.module+"/internal/tally")
	binary = filepath.Join(dir, "load")
	return binary, o, compile(ctx, root, dir, "./tests/shared/load", binary, o)
}

func compile(ctx context.Context, root, dir, pkg, binary string, o *overlaid) error {
	list, err := overlay.Write(root, filepath.Join(dir, "overlay"), o.files)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-overlay="+list, "-o", binary, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("the library with counters does not compile: %w\n%s", err, out)
	}
	return ctx.Err()
}

// load runs one workload in a process of its own.
func load(ctx context.Context, binary, workload string, ps, objects int) (*outcome, error) {
	cmd := exec.CommandContext(ctx, binary, "-workload="+workload, "-objects="+strconv.Itoa(objects))
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "GOMAXPROCS=") }),
		"GOMAXPROCS="+strconv.Itoa(ps))
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s with %d Ps: %w\n%s", workload, ps, err, &errs)
	}
	o := new(outcome)
	if err := json.Unmarshal(out.Bytes(), o); err != nil {
		return nil, err
	}
	return o, nil
}

// perThousand makes a row of a run.
func perThousand(workload string, ps int, o *outcome, sites []site) row {
	per := func(before, after uint64) float64 { return float64(after-before) * 1000 / float64(o.Objects) }
	r := row{Workload: workload, Procs: ps, Sites: map[int]float64{}, NS: o.Seconds * 1e9 / float64(o.Objects)}
	for i, s := range sites {
		v := per(o.Before.Counts[i], o.After.Counts[i])
		switch {
		case v == 0:
			continue
		case s.Kind == hold:
			r.Holds += v
		case s.own():
			r.Own += v
		default:
			r.RMWs += v
		}
		r.Sites[i] = v
	}
	r.Membarriers = per(o.Before.Membarriers, o.After.Membarriers)
	r.GracePeriods = per(o.Before.GracePeriods, o.After.GracePeriods)
	return r
}

// measure is the whole job. say gets what is being done.
func measure(ctx context.Context, objects, runs int, say func(string)) (*report, error) {
	root, err := overlay.Root(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "shared")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	say("compiling the library with counters")
	binary, o, err := build(ctx, root, dir)
	if err != nil {
		return nil, err
	}
	rep := &report{Date: time.Now().UTC().Format(time.DateOnly), CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Objects: objects, Runs: runs, Grown: []string{}, Sites: o.sites}
	for _, w := range workloads {
		for _, ps := range procs {
			var rows []row
			for i := range runs {
				say(fmt.Sprintf("%s with %d Ps, run %d of %d", w.name, ps, i+1, runs))
				out, err := load(ctx, binary, w.name, ps, objects)
				if err != nil {
					return nil, err
				}
				rows = append(rows, perThousand(w.name, ps, out, o.sites))
			}
			slices.SortFunc(rows, func(a, b row) int {
				if a.RMWs < b.RMWs {
					return -1
				}
				return 1
			})
			rep.Rows = append(rep.Rows, rows[len(rows)/2])
		}
	}
	rep.judge()
	return rep, nil
}

// judge compares the first and the last number of Ps of each workload.
func (rep *report) judge() {
	rep.Grown = []string{}
	n := len(procs)
	for i := 0; i+n <= len(rep.Rows); i += n {
		few, many := rep.Rows[i], rep.Rows[i+n-1]
		for _, what := range []string{"read-modify-writes", "holds", "membarriers"} {
			if a, b := few.judged()[what], many.judged()[what]; grown(a, b) {
				rep.Grown = append(rep.Grown, fmt.Sprintf("%s: %s, from %.2f to %.2f", few.Workload, what, a, b))
			}
		}
	}
	rep.OK = len(rep.Grown) == 0
}
