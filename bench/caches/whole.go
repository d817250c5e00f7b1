package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"slices"
	"time"

	"quiesce/bench/internal/harness"
)

// Sheet is a part of the report: whole caches, measured in processes of their own.
type Sheet struct {
	ID      string     `json:"id"`
	Title   string     `json:"title"`
	Columns []string   `json:"columns"`
	Rows    []SheetRow `json:"rows"`
}

// SheetRow is a cache's figures, one for each column.
type SheetRow struct {
	Name  string         `json:"name"`
	Cells []harness.Cell `json:"cells"`
}

// resultKey is what a child's figures belong to.
type resultKey struct{ task, brand string }

// results are the figures of each round; nil where there are none.
type results map[resultKey][]harness.Figures

// run is a task, and the caches that do it.
type run struct {
	key    string
	task   task
	brands []*brand
}

// keyOf names what children of a task have in common.
func (t *task) key() string { return fmt.Sprintf("%s %s %d", t.Kind, t.Trace, t.Bytes) }

// runsOf returns what has to run for the sheets.
func runsOf(sheets []sheet) (runs []run) {
	for _, s := range sheets {
		i := slices.IndexFunc(runs, func(r run) bool { return r.key == s.task.key() })
		if i < 0 {
			i = len(runs)
			runs = append(runs, run{key: s.task.key(), task: s.task})
		}
		for _, row := range s.rows {
			if !slices.Contains(runs[i].brands, row.brand) {
				runs[i].brands = append(runs[i].brands, row.brand)
			}
		}
	}
	return runs
}

// childTimeout is what a child may take in addition to the time of its task.
const childTimeout = 20 * time.Minute

// errWrong ends the run.
var errWrong = errors.New("a cache gave a wrong result")

// measureSheets runs the children, in interleaved rounds within each task.
func (rep *Report) measureSheets(ctx context.Context, sheets []sheet, show *harness.Progress) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	all := results{}
	for _, r := range runsOf(sheets) {
		if err = rep.rounds(ctx, r, self, all, show); err != nil || ctx.Err() != nil {
			break
		}
	}
	rep.Partial = rep.Partial || ctx.Err() != nil || err != nil
	for _, s := range sheets {
		rep.Sheets = append(rep.Sheets, s.summary(all, rep.Count))
	}
	rep.Targets = judgeSheets(sheets, all, rep.Count)
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// rounds runs a task's children in turn. One that fails does not run again; a wrong
// result ends it all.
func (rep *Report) rounds(ctx context.Context, r run, self string, all results, show *harness.Progress) error {
	broken := map[*brand]bool{}
	for k := range rep.Count {
		for j := range r.brands {
			b := r.brands[(j+k)%len(r.brands)] // none is always first
			if ctx.Err() != nil {
				return nil
			}
			show.Row(r.task.Kind + " " + r.task.Trace + ": " + b.name)
			if broken[b] {
				continue
			}
			if need, have := r.task.needs(), harness.MemAvailable()*0.9; need > have && have > 0 {
				broken[b] = true
				rep.Failed = append(rep.Failed, fmt.Sprintf("%s, %s: about %.1f GB of memory are needed, %.1f are there", r.task.Kind, b.name, need/1e9, have/1e9))
				continue
			}
			f, err := runTask(ctx, self, r.task, b)
			if err != nil {
				if harness.Interrupted(ctx) {
					return nil
				}
				broken[b] = true
				rep.Failed = append(rep.Failed, fmt.Sprintf("%s %s, %s: %v", r.task.Kind, r.task.Trace, b.name, err))
				var exit *exec.ExitError
				if errors.As(err, &exit) && exit.ExitCode() == harness.ExitWrong {
					return fmt.Errorf("%w: %s, %s: %w", errWrong, r.task.Kind, b.name, err)
				}
				continue
			}
			at := resultKey{r.key, b.id}
			if all[at] == nil {
				all[at] = make([]harness.Figures, rep.Count)
			}
			all[at][k] = f
		}
	}
	return nil
}

// fitTries is how often a cache is told another limit until the memory that it takes is
// within fitWithin of the task's.
const (
	fitTries  = 4
	fitWithin = 0.04
)

// runTask runs a child. Caches of a workload with sizes have the same memory if they
// take the same, whatever they are told: a first child shows how much that is.
func runTask(ctx context.Context, self string, t task, b *brand) (f harness.Figures, err error) {
	t.Brand = b.id
	for try := range fitTries {
		text, err := json.Marshal(t)
		if err != nil {
			return nil, err
		}
		f, err = harness.RunChild(ctx, childTimeout+t.seconds(), "ok", self, childArg, string(text))
		if err != nil || t.Kind != kindBytes || t.Short || try == fitTries-1 {
			return f, err
		}
		over := f["resident"] / float64(t.Bytes)
		if math.Abs(over-1) < fitWithin || over == 0 {
			break
		}
		t.Scale /= over
	}
	return f, err
}

// needs is the memory in bytes that a child takes: an estimate, on the safe side.
func (t *task) needs() float64 {
	switch t.Kind {
	case kindMemory:
		return float64(t.Entries) * 700
	case kindBytes, kindStorm:
		return 4 * float64(t.Bytes)
	}
	return float64(t.Entries) * 400
}

// figure returns one figure of each round, as "v"; nil where it is missing.
func (all results) figure(t *task, brand, name string, count int) []harness.Figures {
	out := make([]harness.Figures, count)
	for k, f := range all[resultKey{t.key(), brand}] {
		if v, ok := f[name]; ok && name != "" {
			out[k] = harness.Figures{"v": v}
		}
	}
	return out
}

// summary makes a part of the report.
func (s *sheet) summary(all results, count int) Sheet {
	out := Sheet{ID: s.id, Title: s.title, Rows: []SheetRow{}}
	for _, c := range s.columns {
		out.Columns = append(out.Columns, c.label)
	}
	for _, r := range s.rows {
		line, measured := SheetRow{Name: r.name}, false
		for _, c := range s.columns {
			base := all.figure(&s.task, brands[0].id, c.figure, count)
			cell := harness.NewCell(all.figure(&s.task, r.brand.id, r.figure(c), count), base, c.scale)
			line.Cells = append(line.Cells, cell)
			measured = measured || len(cell.Rounds) > 0
		}
		if measured {
			out.Rows = append(out.Rows, line)
		}
	}
	return out
}

// render prints the parts of the table.
func (rep *Report) renderSheets(w io.Writer) {
	for _, s := range rep.Sheets {
		if len(s.Rows) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", s.Title)
		rows := [][]string{append([]string{""}, s.Columns...)}
		for _, r := range s.Rows {
			line := []string{"  " + r.Name}
			for _, c := range r.Cells {
				line = append(line, c.String())
			}
			rows = append(rows, line)
		}
		for _, line := range harness.Align(rows) {
			fmt.Fprintln(w, line)
		}
	}
}
