package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"quiesce/bench/internal/harness"
)

// Report is what -json prints.
type Report struct {
	harness.Machine
	Effort
	Partial  bool              `json:"partial"`
	Groups   []Group           `json:"groups"`
	Verdicts []harness.Verdict `json:"verdicts"`
	Skipped  []Skipped         `json:"skipped"`
	Failed   []string          `json:"failed"`
}

// Effort is how much was measured.
type Effort struct {
	Count   int  `json:"rounds"`
	Objects int  `json:"flood_objects"`
	Quick   bool `json:"quick"`
}

// Group is a piece of work.
type Group struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Rows  []Row  `json:"rows"`
}

// Row is one peer's result. A ratio of 0 says that the base was not measured.
type Row struct {
	Name      string             `json:"name"`
	Base      bool               `json:"base"`
	NS        float64            `json:"ns"`
	Ratio     float64            `json:"ratio"`
	Spread    float64            `json:"spread_percent"`
	Noisy     bool               `json:"noisy"`
	CPUNS     float64            `json:"cpu_ns"`
	CPURatio  float64            `json:"cpu_ratio"`
	CPUSpread float64            `json:"cpu_spread_percent"`
	CPUNoisy  bool               `json:"cpu_noisy"`
	Figures   map[string]float64 `json:"figures,omitempty"`
	Rounds    []float64          `json:"rounds_ns"`
}

// Skipped are rows that could not be measured here.
type Skipped struct {
	Package string   `json:"package"`
	Why     string   `json:"why"`
	Rows    []string `json:"rows"`
}

func (s Skipped) String() string {
	return fmt.Sprintf("left out %d rows: %s: apt-get install %s", len(s.Rows), s.why(), s.Package)
}

func (s Skipped) why() string {
	if s.Why == "not installed" {
		return s.Package + " is not installed"
	}
	return s.Why
}

// childTimeout is long after the longest row.
const childTimeout = 3 * time.Minute

// measure runs the rows, round by round within each group.
func measure(ctx context.Context, groups []group, o options, errs io.Writer) (*Report, error) {
	rep := &Report{Machine: harness.ThisMachine(), Effort: Effort{Count: o.count, Quick: o.quick},
		Groups: []Group{}, Verdicts: []harness.Verdict{}, Skipped: []Skipped{}, Failed: []string{}}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	show := harness.NewProgress("peers", errs)
	defer show.End()
	show.Say("looking for the C peers")
	cc, err := harness.NewCompiler(ctx, dir, sources, packages)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	groups, rep.Skipped = present(groups, cc)
	for _, s := range rep.Skipped {
		show.Line(s.String())
	}
	for _, g := range groups {
		show.Total += len(g.rows) * o.count
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	all := results{}
	for _, g := range groups {
		if ctx.Err() != nil {
			break
		}
		rounds := rep.rounds(ctx, &g, o, func(r *row, s size) (harness.Figures, error) {
			show.Row(g.id + "/" + r.name)
			f, err := runRow(ctx, self, cc, r, s)
			if err != nil && !harness.Interrupted(ctx) {
				show.Line(fmt.Sprintf("failed: %s/%s: %v", g.id, r.name, err))
			}
			return f, err
		})
		for i, r := range g.rows {
			all[g.id+"/"+r.name] = rounds[i]
		}
		if out := summarize(&g, rounds); len(out.Rows) > 0 {
			rep.Groups = append(rep.Groups, out)
		}
	}
	rep.Verdicts = judge(all)
	rep.Partial = ctx.Err() != nil
	return rep, nil
}

// rounds measures a group's rows in turn, and returns the figures of each row's
// rounds. A row that fails is not measured again.
func (rep *Report) rounds(ctx context.Context, g *group, o options, measure func(*row, size) (harness.Figures, error)) [][]harness.Figures {
	rounds := make([][]harness.Figures, len(g.rows))
	for i := range rounds {
		rounds[i] = make([]harness.Figures, o.count)
	}
	broken := make([]bool, len(g.rows))
	for k := range o.count {
		for j := range g.rows {
			i := (j + k) % len(g.rows) // no row is always first
			r := &g.rows[i]
			if ctx.Err() != nil || broken[i] {
				continue
			}
			s := g.sized(r, o)
			if g.id == "flood" {
				rep.Objects = s.objects
			}
			f, err := measure(r, s)
			if err != nil {
				if ctx.Err() != nil {
					break
				}
				broken[i] = true
				rep.Failed = append(rep.Failed, fmt.Sprintf("%s/%s: %v", g.id, r.name, err))
			}
			rounds[i][k] = f
		}
	}
	return rounds
}

// summarize makes a group's results of its rounds.
func summarize(g *group, rounds [][]harness.Figures) Group {
	out := Group{ID: g.id, Title: g.title, Rows: []Row{}}
	var base []harness.Figures
	for i, r := range g.rows {
		if r.base {
			base = rounds[i]
		}
	}
	for i, r := range g.rows {
		res := result(r.name, rounds[i], base)
		res.Base = r.base
		if len(res.Rounds) > 0 {
			out.Rows = append(out.Rows, res)
		}
	}
	return out
}

// present takes out the rows that can't be measured on this machine, and says
// once for every package what is missing.
func present(groups []group, cc *harness.Compiler) (there []group, skipped []Skipped) {
	at := map[string]int{}
	skipped = []Skipped{}
	for _, g := range groups {
		var rows []row
		for _, r := range g.rows {
			name := ""
			if r.goChild == "" {
				name = cc.Missing(&r.prog)
			}
			if name == "" {
				rows = append(rows, r)
				continue
			}
			if _, seen := at[name]; !seen {
				at[name] = len(skipped)
				skipped = append(skipped, Skipped{Package: name, Why: cc.Absent[name]})
			}
			s := &skipped[at[name]]
			s.Rows = append(s.Rows, g.id+"/"+r.name)
		}
		if g.rows = rows; len(rows) > 0 {
			there = append(there, g)
		}
	}
	return there, skipped
}

// runRow measures a row once, in a process of its own.
func runRow(ctx context.Context, self string, cc *harness.Compiler, r *row, s size) (harness.Figures, error) {
	args := []string{childArg, r.goChild}
	if r.goChild == "" {
		var err error
		if self, err = cc.Build(ctx, &r.prog); err != nil {
			return nil, err
		}
		args = nil
	}
	mode := s.mode
	if mode == "" {
		mode = "readers"
	}
	args = append(args, mode, strconv.FormatFloat(s.ns, 'f', 0, 64), strconv.Itoa(s.batches), strconv.Itoa(s.objects))
	return harness.RunChild(ctx, childTimeout, "ns", self, args...)
}

// result sums a row's rounds up. base are the rounds of the row it is compared
// with; a round may be missing (nil) in either.
func result(name string, rounds, base []harness.Figures) Row {
	r := Row{Name: name, Figures: map[string]float64{}}
	byName := map[string][]float64{}
	for _, f := range rounds {
		for k, v := range f {
			byName[k] = append(byName[k], v)
		}
	}
	for k, v := range byName {
		if k != "ns" && k != "cpu" {
			r.Figures[k] = harness.Median(v)
		}
	}
	r.Rounds = byName["ns"]
	r.NS, r.Ratio, r.Spread = harness.Compare("ns", rounds, base)
	r.CPUNS, r.CPURatio, r.CPUSpread = harness.Compare("cpu", rounds, base)
	r.Noisy, r.CPUNoisy = r.Spread > harness.NoisySpread, r.CPUSpread > harness.NoisySpread
	return r
}
