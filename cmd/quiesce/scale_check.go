package main

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
)

var scaleCheckJob = job{
	use:   "check [flags]",
	short: "the table of what this library must reach, with verdicts",
	title: "what this library must reach, and what it reaches here",
	about: `
Measures each row of the design's table of targets and what it is compared with
in turn, several times. A verdict is on the median:
  ok     it meets the target
  MISS   it doesn't, and by how much
  noisy  no majority of the repeats lies within 20 % of each other, and they do
         not agree; or the loops had no processor to themselves
  ~      (after a verdict) as noisy, but every repeat says the same`,
	examples: []string{
		`quiesce scale check`,
		`quiesce scale check -run 'reader|ReadLock' -repeats 15`,
		`quiesce scale check -objects 4000000 -live 20000000     (the table's sizes)`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone + "; or a figure missed its target", usage: badFlag, interrupted: tableSoFar},
	flags: scaleCheckFlags,
}

func scaleCheckFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.CheckConfig)
	match := fs.String("run", "", "measure the rows whose name a regular `expression` matches (default: all)")
	fs.IntVar(&cfg.Repeats, "repeats", 9, "measure each figure `n` times, at least 5; the slow rows five times (default 9)")
	fs.IntVar(&cfg.Objects, "objects", 1_000_000, "`n` objects of 64 bytes in a cold flood (default 1000000)")
	fs.IntVar(&cfg.Live, "live", 2_000_000, "`n` live objects of 64 bytes for the collector's row (default 2000000)")
	list := fs.Bool("list", false, "list the rows, and end")
	return func(r *run) (*result, error) {
		if *list {
			return scaleResult(scale.CheckRows(), func(w io.Writer) { fmt.Fprintln(w, strings.Join(scale.CheckRows(), "\n")) }, false, true), nil
		}
		var err error
		if *match != "" {
			if cfg.Match, err = regexp.Compile(*match); err != nil {
				return nil, kit.BadInput("%v", err)
			}
		}
		if cfg.Child, err = childCommand("misses"); err != nil {
			return nil, err
		}
		rep, err := scale.Check(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderCheck(w, rep) }, rep.Partial, rep.OK), nil
	}
}
