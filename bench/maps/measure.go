package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"quiesce/bench/internal/harness"
	"quiesce/page"
)

// Report is what -json prints.
type Report struct {
	harness.Machine
	Count    int               `json:"rounds"`
	Short    bool              `json:"short"`
	Partial  bool              `json:"partial"`
	Groups   []Group           `json:"groups"`
	Verdicts []harness.Verdict `json:"verdicts"`
	Skipped  []string          `json:"skipped"`
	Failed   []string          `json:"failed"`
}

// Group is a part of the table.
type Group struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	Columns []string `json:"columns"`
	Rows    []Row    `json:"rows"`
}

// Row is a peer's figures, one for each column.
type Row struct {
	Name  string         `json:"name"`
	Base  bool           `json:"base"`
	Cells []harness.Cell `json:"cells"`
}

// resultKey is what a result belongs to.
type resultKey struct {
	job  job
	peer string
}

// results are the figures of each round; nil where there are none.
type results map[resultKey][]harness.Figures

// childTimeout is long after the longest child.
const childTimeout = 20 * time.Minute

// errWrong ends the run.
var errWrong = errors.New("a look-up gave a wrong result")

// measure runs the children, in interleaved rounds within each job.
func measure(ctx context.Context, groups []group, o options, errs io.Writer) (*Report, error) {
	rep := &Report{Machine: harness.ThisMachine(), Count: o.count, Short: o.short,
		Groups: []Group{}, Verdicts: []harness.Verdict{}, Skipped: []string{}, Failed: []string{}}
	dir, err := os.MkdirTemp("", "maps")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	show := harness.NewProgress("maps", errs)
	defer show.End()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	runs := runsOf(groups)
	file, why, err := cProgram(ctx, dir, runs)
	if err != nil {
		return nil, err
	}
	if why != "" {
		rep.skip(show, why)
	}
	for i := range runs {
		runs[i].peers = rep.possible(show, &runs[i], file != "")
		show.Total += len(runs[i].peers) * o.count
	}
	all := results{}
	for i := range runs {
		err = rep.rounds(ctx, &runs[i], o.count, all, func(p *peer) (harness.Figures, error) {
			show.Row(fmt.Sprintf("%s, %s keys: %s", runs[i].kind, short(runs[i].keys), p.id))
			ns, batches := o.effort()
			args := []string{runs[i].mode(), strconv.FormatFloat(ns, 'f', 0, 64), strconv.Itoa(batches), strconv.Itoa(runs[i].keys)}
			if p.inC {
				return harness.RunChild(ctx, childTimeout, "ok", file, args...)
			}
			return harness.RunChild(ctx, childTimeout, "ok", self, append([]string{childArg, p.id}, args...)...)
		})
		if err != nil || ctx.Err() != nil {
			break
		}
	}
	for _, f := range rep.Failed {
		show.Line("failed: " + f)
	}
	rep.Partial = ctx.Err() != nil || err != nil
	rep.Groups, rep.Verdicts = summarize(groups, all, o.count), judge(all, o.count)
	return rep, nil
}

// effort is how long a batch takes, in ns, and how many there are.
func (o options) effort() (ns float64, batches int) {
	if o.short {
		return 200e3, 3
	}
	return 5e6, 15
}

func (rep *Report) skip(show *harness.Progress, line string) {
	rep.Skipped = append(rep.Skipped, line)
	show.Line("left out: " + line)
}

// possible returns the peers that can do a job here.
func (rep *Report) possible(show *harness.Progress, r *run, withC bool) (there []*peer) {
	for _, p := range r.peers {
		need, have := float64(r.needs(p)), available(p)
		switch {
		case p.inC && !withC:
		case need > have && have > 0:
			rep.skip(show, fmt.Sprintf("%s, %s keys: %s needs about %.1f GB, %.1f are available", r.kind, short(r.keys), p.id, need/1e9, have/1e9))
		default:
			there = append(there, p)
		}
	}
	return there
}

// available is the memory in bytes that a peer's child may take; 0: unknown.
func available(p *peer) float64 {
	have := harness.MemAvailable() * 0.9
	if limit := float64(page.AutoLimit()); limit > 0 {
		if p.fixed || p.settle != nil { // outside the Go heap, within the limit of page.Default
			have = min(cmp.Or(have, limit), limit)
		} else {
			have = min(cmp.Or(have, limit*4/3), limit*4/3) // it is 3/4 of what the process may have
		}
	}
	return have
}

// rounds runs a job's children in turn. One that fails does not run again; a
// wrong result ends it all.
func (rep *Report) rounds(ctx context.Context, r *run, count int, all results, measure func(*peer) (harness.Figures, error)) error {
	broken := map[*peer]bool{}
	for k := range count {
		for j := range r.peers {
			p := r.peers[(j+k)%len(r.peers)] // no peer is always first
			if ctx.Err() != nil {
				return nil
			}
			if broken[p] {
				continue
			}
			f, err := measure(p)
			if err != nil {
				if harness.Interrupted(ctx) {
					return nil
				}
				broken[p] = true
				rep.Failed = append(rep.Failed, fmt.Sprintf("%s, %s keys, %s: %v", r.kind, short(r.keys), p.id, err))
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.ExitCode() == harness.ExitWrong {
					return errWrong
				}
				continue
			}
			at := resultKey{r.job, p.id}
			if all[at] == nil {
				all[at] = make([]harness.Figures, count)
			}
			all[at][k] = f
		}
	}
	return nil
}

// summarize makes the table.
func summarize(groups []group, all results, count int) []Group {
	out := []Group{}
	for _, g := range groups {
		res := Group{ID: g.id, Title: g.title}
		for _, c := range g.columns {
			res.Columns = append(res.Columns, c.label)
		}
		base := g.rows[0]
		for _, r := range g.rows {
			row := Row{Name: r.name, Base: r.base}
			measured := false
			for _, c := range g.columns {
				values := figure(all, c.job, r.peer.id, c.name(r.way), count)
				bases := figure(all, c.job, base.peer.id, c.name(base.way), count)
				cell := harness.NewCell(values, bases, c.scale)
				measured = measured || len(cell.Rounds) > 0
				row.Cells = append(row.Cells, cell)
			}
			if measured {
				res.Rows = append(res.Rows, row)
			}
		}
		if len(res.Rows) > 0 {
			out = append(out, res)
		}
	}
	return out
}

// figure returns one figure of each round, as "v"; nil where it is missing.
func figure(all results, j job, peer, name string, count int) []harness.Figures {
	out := make([]harness.Figures, count)
	for k, f := range all[resultKey{j, peer}] {
		if v, ok := f[name]; ok {
			out[k] = harness.Figures{"v": v}
		}
	}
	return out
}
