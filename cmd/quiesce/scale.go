package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// scaleCommand is the group of the measurements.
func scaleCommand(s streams) *cobra.Command {
	c := &cobra.Command{
		Use:                   "scale COMMAND [flags]",
		Short:                 "rcuscale and refscale, and what this library must reach",
		DisableFlagsInUseLine: true,
		Args:                  cobra.ArbitraryArgs,
	}
	c.AddCommand(
		scaleKfreeJob.command(s),
		scaleReadJob.command(s),
		scaleGPJob.command(s),
		scaleAllocJob.command(s),
		scaleCheckJob.command(s),
		scaleMissesJob.command(s),
		scaleHoldsJob.command(s),
	)
	c.RunE = func(_ *cobra.Command, args []string) error {
		var names []string
		for _, sub := range c.Commands() {
			names = append(names, sub.Name())
		}
		if len(args) > 0 {
			return &usageError{msg: "no such test: " + args[0] + "; try " + strings.Join(names, "|")}
		}
		return &usageError{msg: "try " + strings.Join(names, "|")} // 80 columns with the rest
	}
	jobs[c] = &job{
		title: "rcuscale and refscale for this library",
		notes: "Parameters have the kernel's names. Every command has -json.",
	}
	return c
}

// scaleResult is the result of a measurement.
func scaleResult(report any, render func(w io.Writer), partial, ok bool) *result {
	return &result{report: report, render: func(w io.Writer) error { render(w); return nil }, partial: partial, ok: ok}
}
