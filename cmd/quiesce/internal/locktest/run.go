package locktest

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/option"
	"quiesce/internal/sys"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// Config says what to run.
type Config struct {
	Match *regexp.Regexp // rows, as "section: row"; nil: all
}

// Report is what a run found.
type Report struct {
	OK        bool `json:"ok"`      // every test that ran was as expected
	Partial   bool `json:"partial"` // interrupted
	Testcases int  `json:"testcases"`
	Passed    int  `json:"passed"`
	Failed    int  `json:"failed"`
	Unseen    int  `json:"unseen"` // need a build with -tags lockdep, and were not run

	Tagged              bool `json:"tags_lockdep"`
	PreemptRT           bool `json:"preempt_rt"`
	ProveRawLockNesting bool `json:"prove_raw_lock_nesting"`

	Sections []SectionReport `json:"sections"`
}

// SectionReport is a table.
type SectionReport struct {
	Title   string      `json:"title"`
	Columns []string    `json:"columns"`
	Rows    []RowReport `json:"rows"`
}

// RowReport is a row of it.
type RowReport struct {
	Name  string `json:"name"`
	Cells []Cell `json:"cells"` // in the order of the columns that it has
}

// The verdicts.
const (
	Silent   = "ok"   // silence
	Reported = "fail" // a report, as the locking is wrong
)

// Cell is one test.
type Cell struct {
	Column   string   `json:"column"`
	Expected string   `json:"expected"`           // ok or fail
	Kind     string   `json:"kind,omitempty"`     // of the report expected
	Observed string   `json:"observed,omitempty"` // ok or fail; empty: not run
	Reports  []string `json:"reports,omitempty"`  // the kinds of those observed, in their order
	Pass     bool     `json:"pass"`
	Unseen   bool     `json:"unseen,omitempty"` // needs a build with -tags lockdep
	Panic    string   `json:"panic,omitempty"`

	Texts []string `json:"-"` // of the reports
}

// proves says whether lockdep is to report a lock.Spin under a lock.Raw.
var proves = option.Bool("prove_raw_lock_nesting")

// one runs tests one at a time: lockdep is the process's.
var one sync.Mutex

// Run runs the rows, and reports each before it does. It enables lockdep.
func Run(ctx context.Context, cfg Config, progress kit.Progress) Report {
	return runSections(ctx, cfg, sections(), progress)
}

// Matches reports whether there is a row to run.
func Matches(cfg Config) bool {
	for _, s := range sections() {
		for _, r := range s.rows {
			if cfg.includes(&s, &r) {
				return true
			}
		}
	}
	return false
}

func (cfg *Config) includes(s *section, r *row) bool {
	return cfg.Match == nil || cfg.Match.MatchString(s.title+": "+r.name)
}

func runSections(ctx context.Context, cfg Config, all []section, progress kit.Progress) Report {
	lockdep.Enable()
	rep := Report{Tagged: lockdep.Tagged, PreemptRT: preempt.RT(), ProveRawLockNesting: proves}
	for _, s := range all {
		sr := SectionReport{Title: s.title, Columns: s.columns}
		for _, r := range s.rows {
			if !cfg.includes(&s, &r) {
				continue
			}
			rr := RowReport{Name: r.name}
			for i, column := range s.columns {
				if r.verdicts[i] == ' ' {
					continue
				}
				if ctx.Err() != nil {
					rep.Partial = true
					break
				}
				progress.Report(kit.Step{Phase: s.title, Text: s.title + ": " + r.name + ", " + column})
				c := r.cell(column, r.verdicts[i])
				rep.count(c)
				rr.Cells = append(rr.Cells, c)
			}
			if len(rr.Cells) > 0 {
				sr.Rows = append(sr.Rows, rr)
			}
		}
		if len(sr.Rows) > 0 {
			rep.Sections = append(rep.Sections, sr)
		}
	}
	rep.OK = rep.Failed == 0
	return rep
}

func (rep *Report) count(c Cell) {
	rep.Testcases++
	switch {
	case c.Unseen:
		rep.Unseen++
	case c.Pass:
		rep.Passed++
	default:
		rep.Failed++
	}
}

// cell runs one test, or says why not.
func (r *row) cell(column string, verdict byte) Cell {
	c := Cell{Column: column, Expected: Reported, Kind: r.kind}
	if k := r.kinds[column]; k != "" {
		c.Kind = k
	}
	switch {
	case verdict == '.', verdict == 'n' && !proves:
		c.Expected, c.Kind = Silent, ""
	case verdict == 't' && !lockdep.Tagged:
		c.Unseen = true
		return c
	}
	b := newBench(column, r.soft)
	reports, panicked := observe(func() {
		if r.body != nil {
			r.body(b)
		} else {
			b.run(r.events())
		}
	})
	c.Panic = panicked
	c.Observed = Silent
	for _, rep := range reports {
		c.Observed = Reported
		c.Reports = append(c.Reports, rep.Kind)
		c.Texts = append(c.Texts, rep.Text)
	}
	c.Pass = panicked == "" && c.Observed == c.Expected && goodKinds(c.Kind, c.Reports)
	return c
}

// What may come with a report of each kind: the kernel turns lockdep off after
// the first one, so its tests never see these. From a pinned goroutine reports
// may come in another order than they were made.
var company = map[string][]string{
	state:     {inversion, order},
	inversion: {order},
	sleeping:  {wait},
	rcuUsage:  {wait}, // of the lock of the grace period's driver
}

func goodKinds(want string, got []string) bool {
	for _, k := range got {
		if k != want && !slices.Contains(company[want], k) {
			return false
		}
	}
	return want == "" || slices.Contains(got, want)
}

// observe runs a test on a goroutine of its own, with lockdep as new, and
// returns what was reported.
func observe(fn func()) (reports []*lockdep.Report, panicked string) {
	one.Lock()
	defer one.Unlock()
	lockdep.Reset()
	before := lockdep.ReadStats().Reports
	var mu sync.Mutex
	restore := lockdep.SetReporter(func(r *lockdep.Report) {
		mu.Lock()
		reports = append(reports, r)
		mu.Unlock()
	})
	defer restore()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			if e := recover(); e != nil {
				panicked = fmt.Sprint(e)
			}
		}()
		fn()
	}()
	<-ended
	// A report made while pinned may not have arrived yet.
	for range 20_000 {
		mu.Lock()
		got := slices.Clone(reports)
		mu.Unlock()
		if uint64(len(got)) >= lockdep.ReadStats().Reports-before {
			return got, panicked
		}
		sys.Sleep(100_000)
	}
	return nil, "a report was not delivered within two seconds"
}
