// Package checks is the list of quiescevet's checks.
package checks

import (
	"path/filepath"
	"sync"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/analysis/passes/ctrlflow"

	"quiesce/cmd/quiescevet/internal/api"
	"quiesce/cmd/quiescevet/internal/contexts"
	"quiesce/cmd/quiescevet/internal/earlyfree"
	"quiesce/cmd/quiescevet/internal/gopointers"
	"quiesce/cmd/quiescevet/internal/nilcheck"
	"quiesce/cmd/quiescevet/internal/oneowner"
	"quiesce/cmd/quiescevet/internal/reports"
	"quiesce/cmd/quiescevet/internal/sections"
)

// ofSections are the checks that report what package sections finds.
var ofSections = []struct {
	category  sections.Category
	name, doc string
}{
	{sections.Unlock, "unlock", "report guards not ended on a path, ended twice, deferred in a loop\n\nA guard of rcu.ReadLock, a token of preempt.Disable and their like are ended once on every path. A guard that is returned, stored or passed to a function that may end it is left alone."},
	{sections.Borrow, "borrow", "report borrowed memory that is used after its section\n\nWhat a look-up returns under a guard, in a function that cache.View or rcu.Read calls, or in a bbolt transaction, is valid until that ends. The check reports it used after that, returned, stored in what outlives it, sent, or captured by a goroutine. quiescevet.json names further sources."},
	{sections.Blocks, "pinned", "report what blocks in a pinned section\n\nBetween preempt.Disable and Enable, under a lock.Raw and in preempt.Hardirq nothing may block: the process would end. Functions are known by their \"Context: task; not pinned.\" lines, by a list of Go's own, and by what their bodies always come to, across packages."},
	{sections.Waits, "grace", "report waits for grace periods or memory in a read-side section\n\nrcu.Synchronize, Barrier, Close, Put and allocations with gfp.Kernel wait for readers, and so for the section that they are in."},
}

// All returns the checks, for the sources that config returns when they run.
// Without a function they are those of the file that api.FindConfig finds.
func All(config func(dir string) (*api.Config, error)) []*analysis.Analyzer {
	if config == nil {
		config = nearest
	}
	flow := sections.New(func(pass *analysis.Pass) (api.Table, error) {
		dir := "."
		if len(pass.Files) > 0 {
			dir = filepath.Dir(pass.Fset.Position(pass.Files[0].FileStart).Filename)
		}
		c, err := config(dir)
		if err != nil {
			return nil, err
		}
		return api.NewTable(c.Sources), nil
	})
	var all []*analysis.Analyzer
	for _, c := range ofSections {
		all = append(all, &analysis.Analyzer{
			Name: c.name, Doc: c.doc, Requires: []*analysis.Analyzer{flow},
			Run: func(pass *analysis.Pass) (any, error) {
				for _, f := range pass.ResultOf[flow].(*sections.Result).Findings {
					if f.Category == c.category {
						pass.Report(f.Diagnostic)
					}
				}
				return nil, nil
			},
		})
	}
	all = append(all, nilcheck.Analyzer, gopointers.Analyzer, earlyfree.Analyzer, oneowner.Analyzer)
	for i, a := range all {
		heeding := *a
		heeding.Run = func(pass *analysis.Pass) (any, error) { return a.Run(reports.Filter(pass)) }
		all[i] = &heeding
	}
	return all
}

// FactsOnly returns analyzers of the same names that find facts and nothing
// else. For a package of which only facts are wanted, that saves building SSA.
func FactsOnly(all []*analysis.Analyzer) []*analysis.Analyzer {
	none := func(*analysis.Pass) (any, error) { return nil, nil }
	var thin []*analysis.Analyzer
	for i, a := range all {
		t := &analysis.Analyzer{Name: a.Name, Doc: a.Doc, Run: none}
		if i == 0 {
			t.Requires = []*analysis.Analyzer{contexts.Analyzer, ctrlflow.Analyzer}
		}
		thin = append(thin, t)
	}
	return thin
}

var cached sync.Map // of directories to *api.Config or error

// nearest reads the file that is nearest to a directory.
func nearest(dir string) (*api.Config, error) {
	path := api.FindConfig(dir)
	if path == "" {
		return new(api.Config), nil
	}
	v, ok := cached.Load(path)
	if !ok {
		c, err := api.ReadConfig(path)
		if v = any(c); err != nil {
			v = err
		}
		cached.Store(path, v)
	}
	if err, ok := v.(error); ok {
		return nil, err
	}
	return v.(*api.Config), nil
}
