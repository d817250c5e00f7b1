package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Report is what -json prints.
type Report struct {
	Machine
	Effort
	Partial bool      `json:"partial"`
	Groups  []Group   `json:"groups"`
	Skipped []Skipped `json:"skipped"`
	Failed  []string  `json:"failed"`
}

// Machine is where the rows were measured.
type Machine struct {
	CPU  string `json:"cpu"`
	CPUs int    `json:"cpus"`
	OS   string `json:"os"`
	Go   string `json:"go"`
	Load string `json:"load"` // averages at the start
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
	rep := &Report{Machine: Machine{CPU: cpuModel(), CPUs: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Load: loadAverage()}, Effort: Effort{Count: o.count, Quick: o.quick},
		Groups: []Group{}, Skipped: []Skipped{}, Failed: []string{}}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	show := newProgress(errs)
	defer show.end()
	show.say("looking for the C peers")
	cc, err := newCompiler(ctx, dir)
	if err != nil && ctx.Err() == nil {
		return nil, err
	}
	groups, rep.Skipped = present(groups, cc)
	for _, s := range rep.Skipped {
		show.line(s.String())
	}
	for _, g := range groups {
		show.total += len(g.rows) * o.count
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if ctx.Err() != nil {
			break
		}
		rounds := rep.rounds(ctx, &g, o, func(r *row, s size) (figures, error) {
			show.row(g.id + "/" + r.name)
			f, err := runRow(ctx, self, cc, r, s)
			if err != nil && !interrupted(ctx) {
				show.line(fmt.Sprintf("failed: %s/%s: %v", g.id, r.name, err))
			}
			return f, err
		})
		if out := summarize(&g, rounds); len(out.Rows) > 0 {
			rep.Groups = append(rep.Groups, out)
		}
	}
	rep.Partial = ctx.Err() != nil
	return rep, nil
}

// rounds measures a group's rows in turn, and returns the figures of each row's
// rounds. A row that fails is not measured again.
func (rep *Report) rounds(ctx context.Context, g *group, o options, measure func(*row, size) (figures, error)) [][]figures {
	rounds := make([][]figures, len(g.rows))
	for i := range rounds {
		rounds[i] = make([]figures, o.count)
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

// interrupted reports, after a child failed, whether the user interrupted it.
// The terminal's Ctrl-C reaches the child too, maybe first.
func interrupted(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	case <-time.After(100 * time.Millisecond):
		return false
	}
}

// summarize makes a group's results of its rounds.
func summarize(g *group, rounds [][]figures) Group {
	out := Group{ID: g.id, Title: g.title, Rows: []Row{}}
	var base []figures
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
func present(groups []group, cc *compiler) (there []group, skipped []Skipped) {
	at := map[string]int{}
	skipped = []Skipped{}
	for _, g := range groups {
		var rows []row
		for _, r := range g.rows {
			name := ""
			if r.goChild == "" {
				name = cc.missing(&r.prog)
			}
			if name == "" {
				rows = append(rows, r)
				continue
			}
			if _, seen := at[name]; !seen {
				at[name] = len(skipped)
				skipped = append(skipped, Skipped{Package: name, Why: cc.absent[name]})
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
func runRow(ctx context.Context, self string, cc *compiler, r *row, s size) (figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, childTimeout, fmt.Errorf("no result after %v", childTimeout))
	defer cancel()
	args := []string{childArg, r.goChild}
	if r.goChild == "" {
		var err error
		if self, err = cc.build(ctx, &r.prog); err != nil {
			return nil, err
		}
		args = nil
	}
	mode := s.mode
	if mode == "" {
		mode = "readers"
	}
	args = append(args, mode, strconv.FormatFloat(s.ns, 'f', 0, 64), strconv.Itoa(s.batches), strconv.Itoa(s.objects))
	cmd := exec.CommandContext(ctx, self, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		if line := firstLine(errs.String()); line != "" {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		return nil, err
	}
	return parseFigures(out.String())
}

// cpuModel is the processor's name, where the system reports it.
func cpuModel() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
			return strings.TrimSpace(v)
		}
	}
	return "unknown CPU"
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	if w := strings.Fields(string(text)); len(w) >= 3 {
		return strings.Join(w[:3], " ")
	}
	return "unknown"
}
