package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/compare"
	"quiesce/cmd/quiesce/internal/kit"
)

var compareJob = job{
	use:   "compare [flags]",
	short: "the ways to do kfree_rcu that the mail weighs, compared",
	title: "the mail's ways out, compared",
	about: `
"Raw spinlocks and memory allocation" (July 2020) weighs ways to give
kfree_rcu its arrays. Each of them is built here over the same allocator and
RCU, and so are those that Linux merged later and the one that this library
ships. All are measured for plain, raw atomic and mixed callers, with locks
that sleep and locks that spin (preempt_rt), with memory plenty and with the
page lists exhausted; each strategy in a process of its own, because one of
them dies.`,
	before: "Strategies:\n" + describeStrategies(),
	notes: `
Each cell is measured at least three times. Where the closest three runs lie
more than 20 % apart, after up to seven, the machine was too noisy for that
cell, and it is marked with a "~".`,
	examples: []string{
		"quiesce compare -html report.html",
		"quiesce compare -strategies list,nolocks,sheaf -json",
		"quiesce compare -full            (4 M cold objects; some twenty minutes)",
	},
	exits: exits{ok: "measured", failed: couldNotBeDone, usage: badFlag, interrupted: tableSoFar},
	flags: compareFlags,
}

func compareFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	var cfg compare.RunConfig
	strategies := fs.String("strategies", "", "`names`, separated by commas (default: all)")
	fs.IntVar(&cfg.Objects, "objects", 0, "`n` objects of 64 bytes in a cold flood (default 500000, with -full 4000000)")
	fs.BoolVar(&cfg.Full, "full", false, "4 million cold objects, and a cold flood for every kind of caller")
	fs.BoolVar(&cfg.Quick, "quick", false, "a tenth of the work in a cell, and three runs: rough figures, to see that it works")
	html := fs.String("html", "", "write a report with charts to `file`: one page that needs nothing else")
	csv := fs.Bool("csv", false, "print comma-separated values on stdout instead of the tables, a line for each cell")
	return func(r *run) (*result, error) {
		if asJSON, _ := r.GetBool("json"); asJSON && *csv {
			return nil, kit.BadInput("-json or -csv, not both")
		}
		if *strategies != "" {
			cfg.Strategies = strings.Split(*strategies, ",")
		}
		var err error
		if cfg.Child, err = childCommand("compare"); err != nil {
			return nil, err
		}
		var page *os.File
		if *html != "" { // before the work, not after it
			if page, err = os.Create(*html); err != nil {
				return nil, kit.BadInput("%v", err)
			}
			defer page.Close()
		}
		rep, err := compare.Run(r, cfg, func(st compare.Status) {
			r.progress(kit.Step{Text: st.String(), Done: st.Done, Total: st.Total})
		})
		if err != nil {
			return nil, err
		}
		if page != nil {
			if err = rep.WriteHTML(page); err == nil {
				err = page.Close()
			}
			if err != nil {
				return nil, fmt.Errorf("the page could not be written: %w", err)
			}
		}
		res := &result{report: rep, warnings: rep.Errors, partial: rep.Partial, ok: rep.Partial || len(rep.Errors) == 0}
		res.render = func(w io.Writer) error {
			if *csv {
				return rep.WriteCSV(w)
			}
			_, err := io.WriteString(w, renderCompare(rep))
			return err
		}
		return res, nil
	}
}

func describeStrategies() string {
	var b strings.Builder
	for _, s := range compare.Strategies {
		b.WriteString(entry(s.Name, s.Does, 13))
	}
	return b.String()
}
