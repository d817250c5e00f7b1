package scale

import (
	"context"
	"errors"
	"math"
	"regexp"
	"runtime"
	"slices"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
)

// CheckConfig says which rows of the table to measure.
type CheckConfig struct {
	Match   *regexp.Regexp `json:"-"` // nil: all
	Repeats int            `json:"repeats"`
	Objects int            `json:"objects"` // of the cold floods
	Live    int            `json:"live"`    // objects of the garbage collector's row
	Child   []string       `json:"-"`       // this program, for cachegrind
	idle    time.Duration  // that is watched at a time; 0: as the table says
}

// minRepeats is the least number of repeats.
const minRepeats = 5

// CheckReport is the table.
type CheckReport struct {
	CheckConfig
	Procs   int        `json:"gomaxprocs"`
	Rows    []CheckRow `json:"rows"`
	OK      bool       `json:"ok"` // no figure missed its target
	Noisy   int        `json:"noisy"`
	Missed  int        `json:"missed"`
	Partial bool       `json:"partial"`
}

// CheckRow is a row of the table: its figures were measured together.
type CheckRow struct {
	Name    string   `json:"name"`
	Command string   `json:"command"`         // that measures the same by itself
	Peers   string   `json:"peers,omitempty"` // the command for peers that are not Go's
	Skipped string   `json:"skipped,omitempty"`
	Figures []Figure `json:"figures"`
}

// Verdicts of a figure.
const (
	VerdictOK    = "ok"
	VerdictMiss  = "MISS"
	VerdictNoisy = "noisy"
	VerdictTold  = "" // no target: shown for what it is
)

// Figure is a number and its limit.
type Figure struct {
	Name    string    `json:"name"`
	Unit    string    `json:"unit"` // "×" for a ratio
	Limit   float64   `json:"limit"`
	Target  bool      `json:"target"`  // there is a limit
	AtLeast bool      `json:"atleast"` // the limit is a lower one
	Value   float64   `json:"value"`   // median
	Spread  float64   `json:"spread"`  // of the closest majority of the repeats
	Repeats []float64 `json:"repeats"`
	Verdict string    `json:"verdict"`
	MissBy  float64   `json:"miss_by"` // a share of the limit
	Unsure  bool      `json:"unsure"`  // noisy, but every repeat says the same
}

// judge gives a figure its verdict, from want repeats or fewer.
func (f *Figure) judge(want int) {
	f.Value, f.Spread = kit.Median(f.Repeats), majoritySpread(f.Repeats)
	if len(f.Repeats) < min(want, minRepeats) { // the machine was others' most of the time
		f.Verdict = VerdictNoisy
		return
	}
	if !f.Target {
		f.Verdict = VerdictTold
		f.Unsure = f.Spread > noisyFrom
		return
	}
	good := 0
	for _, v := range f.Repeats {
		if f.meets(v) {
			good++
		}
	}
	f.Verdict = VerdictMiss
	if f.meets(f.Value) {
		f.Verdict = VerdictOK
	}
	if f.Spread > noisyFrom {
		if good != 0 && good != len(f.Repeats) {
			f.Verdict = VerdictNoisy
		} else {
			f.Unsure = true
		}
	}
	if f.Verdict == VerdictMiss && f.Limit > 0 {
		f.MissBy = f.Value/f.Limit - 1
		if f.AtLeast {
			f.MissBy = 1 - f.Value/f.Limit
		}
	}
}

func (f *Figure) meets(v float64) bool {
	if f.AtLeast {
		return v >= f.Limit
	}
	return v <= f.Limit
}

// row is a CheckRow in the making: open prepares, and returns what measures all
// figures once, in their order, and what cleans up.
type row struct {
	name    string
	command string
	peers   string
	repeats int // 0: as configured
	figures []Figure
	open    func(*checker) (measure func() ([]float64, error), end func() error, err error)
}

func atMost(name, unit string, limit float64) Figure {
	return Figure{Name: name, Unit: unit, Limit: limit, Target: true}
}

func atLeast(name, unit string, limit float64) Figure {
	return Figure{Name: name, Unit: unit, Limit: limit, Target: true, AtLeast: true}
}

func told(name, unit string) Figure { return Figure{Name: name, Unit: unit} }

type checker struct {
	ctx  context.Context
	cfg  CheckConfig
	tell Tell
}

// errSkip is a row that can't be measured here.
type errSkip struct{ why string }

func (e errSkip) Error() string { return e.why }

// CheckRows are the names of the table's rows.
func CheckRows() (names []string) {
	for _, r := range checkRows {
		names = append(names, r.name)
	}
	return names
}

// Check measures the table.
func Check(ctx context.Context, cfg CheckConfig, tell Tell) (*CheckReport, error) {
	if err := check(
		bounds{"repeats", int64(cfg.Repeats), minRepeats, 10_000, false},
		bounds{"objects", int64(cfg.Objects), 10_000, 1 << 24, false},
		bounds{"live", int64(cfg.Live), 10_000, 1 << 26, false},
	); err != nil {
		return nil, err
	}
	r := &CheckReport{CheckConfig: cfg, Procs: runtime.GOMAXPROCS(0), OK: true}
	c := &checker{ctx, cfg, tell}
	matched := false
	for _, w := range checkRows {
		if cfg.Match != nil && !cfg.Match.MatchString(w.name) {
			continue
		}
		matched = true
		if ctx.Err() != nil {
			break
		}
		done, err := c.row(w)
		if err != nil && ctx.Err() == nil {
			return nil, err
		}
		r.Rows = append(r.Rows, *done)
	}
	if !matched {
		return nil, BadInput("no row matches %q (-list has their names)", cfg.Match)
	}
	for _, w := range r.Rows {
		for _, f := range w.Figures {
			switch f.Verdict {
			case VerdictMiss:
				r.Missed++
			case VerdictNoisy:
				r.Noisy++
			}
		}
	}
	r.OK, r.Partial = r.Missed == 0, ctx.Err() != nil
	return r, nil
}

func (c *checker) row(w row) (*CheckRow, error) {
	done := &CheckRow{Name: w.name, Command: w.command, Peers: w.peers}
	measure, end, err := w.open(c)
	if skip := (errSkip{}); errors.As(err, &skip) {
		done.Skipped = skip.why
		return done, nil
	}
	if err != nil {
		return done, err
	}
	figures := slices.Clone(w.figures)
	for i := range figures {
		figures[i].Repeats = []float64{}
	}
	repeats := c.cfg.Repeats
	if w.repeats != 0 {
		repeats = w.repeats
	}
	enough := func() bool {
		for _, f := range figures {
			if len(f.Repeats) < repeats {
				return false
			}
		}
		return true
	}
	// The first is to warm up. Repeats that had no processor to themselves are
	// made up for, as long as that gets anywhere.
	for n := -1; n < 3*repeats && !enough() && c.ctx.Err() == nil; n++ {
		if n < 0 && w.repeats == 1 {
			continue
		}
		c.tell.say("%s, repeat %d of %d", w.name, max(n+1, 0), repeats)
		v, err := measure()
		if err != nil {
			return done, errors.Join(err, end())
		}
		for i := range v {
			if n >= 0 && !math.IsNaN(v[i]) {
				figures[i].Repeats = append(figures[i].Repeats, v[i])
			}
		}
	}
	if c.ctx.Err() == nil {
		for i := range figures {
			figures[i].judge(repeats)
		}
		done.Figures = figures
	}
	return done, end()
}
