package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/scale"
)

var scaleAllocJob = job{
	use:   "alloc [flags]",
	short: "the allocator: hot, shuffled, freed elsewhere, churn",
	title: "the allocator",
	notes: "\nCases, in ns for an object's allocation and freeing together:\n" + describeCases(),
	examples: []string{
		`quiesce scale alloc -sizes 64,256 -cases hot,churn`,
	},
	exits: exits{ok: "measured", failed: couldNotBeDone, usage: badFlag, interrupted: tableSoFar},
	flags: scaleAllocFlags,
}

func scaleAllocFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	cfg := new(scale.AllocConfig)
	sizes := fs.String("sizes", "", fmt.Sprintf("object `bytes`, separated by commas, of %v (default: all)", scale.AllocSizes()))
	cases := fs.String("cases", "", "`names`, separated by commas (default: all)")
	fs.IntVar(&cfg.Repeats, "repeats", 9, "measure each `n` times (default 9)")
	return func(r *run) (*result, error) {
		if *cases != "" {
			cfg.Cases = strings.Split(*cases, ",")
		}
		if *sizes != "" {
			for w := range strings.SplitSeq(*sizes, ",") {
				n, err := strconv.Atoi(w)
				if err != nil {
					return nil, kit.BadInput("-sizes %s: want numbers, separated by commas", *sizes)
				}
				cfg.Sizes = append(cfg.Sizes, n)
			}
		}
		rep, err := scale.Alloc(r, *cfg, r.progress.Say)
		if err != nil {
			return nil, err
		}
		return scaleResult(rep, func(w io.Writer) { renderAlloc(w, rep) }, rep.Partial, true), nil
	}
}

func describeCases() string {
	var b strings.Builder
	for _, c := range scale.AllocCases() {
		b.WriteString(entry(c[0], c[1], 12))
	}
	return b.String()
}
