package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/cmd/quiesce/internal/top"
)

var topJob = job{
	use:   "top [flags] [URL]",
	short: "a process's memory outside the Go heap, live",
	about: `
Shows caches, maps, slab caches and allocators of a running process, the largest
first, with what of it they do a second; its grace periods, and what they wait
for. The process needs package inspect's page:

  mux.Handle("/debug/quiesce/", inspect.Handler())

quiesced has it at its -debug address, and quiesce demo too.

URL is that page, or host:port. The default is ` + top.DefaultAddress + `. If the process
goes away, or is not there yet, top says so and keeps trying.`,
	notes: `
Keys:
  q, Ctrl-C           quit
  1 to 5, Tab         caches, maps, slab caches, allocators, RCU
  s, r                sort by the next column, the other way round
  arrows, PgUp, PgDn  scroll
  space               stop, and go on
  +, -                half as often, twice as often

Columns:
  full %              bytes of what the limit allows
  hit %               of the last interval's look-ups that found their key
  live, fill %        bytes of live objects, and what part of the slabs they are
  cached, deferred    free objects kept for reuse; objects that wait for readers
  rcu/s               objects freed after a grace period
  waits/s             allocations that waited for memory`,
	examples: []string{
		"quiesce top",
		"quiesce top http://127.0.0.1:8080/debug/quiesce/",
		"ssh -t host quiesce top -interval 5s",
		"quiesce top -json | jq '.caches[] | {name, recent_hit_ratio}'",
	},
	exits: exits{
		ok:          "done, or left by q or Ctrl-C",
		failed:      "there is no answer, with -once or -json; or " + couldNotBeDone,
		usage:       "a bad flag or URL",
		interrupted: "ended by SIGINT or SIGTERM; the terminal is as it was",
	},
	maxArgs:  1,
	argsHint: "want one URL",
	flags:    topFlags,
}

func topFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	interval := fs.Duration("interval", 2*time.Second, "`time` between two looks, from 100ms to 1m (default 2s)")
	once := fs.Bool("once", false, "print what happens in one interval, as text, and end; so it is where stdout is no terminal")
	return func(r *run) (*result, error) {
		address := top.DefaultAddress
		if len(r.args) == 1 {
			address = r.args[0]
		}
		source, err := top.NewSource(address)
		if err != nil {
			return nil, err
		}
		if err := top.CheckInterval(*interval); err != nil {
			return nil, kit.BadInput("-interval %v: %v", *interval, err)
		}
		asJSON, err := r.GetBool("json")
		if err != nil {
			return nil, err
		}
		width := columns(r.out)
		if *once || asJSON || width == 0 {
			frame, err := top.Once(r, source, *interval)
			if r.Err() != nil {
				return nil, r.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", source.Page, err)
			}
			if width == 0 {
				width = kit.TextWidth
			}
			return &result{report: frame, ok: true, render: func(w io.Writer) error {
				_, err := io.WriteString(w, frame.Print(width))
				return err
			}}, nil
		}
		if err := top.Live(r, source, *interval, os.Stdin, r.out); err != nil {
			return nil, err
		}
		return &result{ok: true, render: func(io.Writer) error { return nil }}, nil
	}
}
