package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"quiesce/cmd/quiesce/internal/demo"
)

const demoHead = `quiesce demo: kfree_rcu end to end, on real files

Usage: quiesce demo [flags] [DIR]

Loads the path, size, mode, time and content checksum (CRC-32C) of every
regular file below DIR into a hash map outside the Go heap. Then readers look
random paths up, without locks, and verify every record, while writers
replace, delete and re-insert records. Each old record goes to FreeRCU: from
a plain goroutine, under a raw spinlock, with preemption disabled, with
interrupts off, or in a hard interrupt handler. In the middle of the run the
page lists are kept exhausted, so that FreeRCU finds no array; GOMAXPROCS
changes four times. A table tells what happened. A second one has the cost of
a flood of cold objects, beside a walk of the same objects as a linked list.

DIR is by default the Go installation's src.

Flags:
`

const demoTail = `
Example:
  quiesce demo -duration 30s -readers 4 -writers 2 /usr/share

Exit status:
  0    no integrity errors, no leaks
  1    integrity errors or leaks; or the job could not be done
  2    a bad flag; DIR is missing, has no regular file, or does not fit -limit
  130  interrupted (SIGINT, SIGTERM), and clean: the table covers the time so
       far. A second Ctrl-C ends the process at once.
`

// demoFlags defines the flags. Their values land in cfg, limit and asJSON.
func demoFlags(cfg *demo.Config, limit *size, asJSON *bool) *flag.FlagSet {
	fs := newFlags("demo")
	fs.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long readers and writers run, a `time` like 500ms, 10s, 2m; a very short run goes on, for up to 2s, until FreeRCU found no array (default 10s)")
	fs.IntVar(&cfg.Readers, "readers", 0, "`n` goroutines look up (default: GOMAXPROCS)")
	fs.IntVar(&cfg.Writers, "writers", 0, "`n` goroutines replace and delete (default: half of GOMAXPROCS, at least 1)")
	fs.Var(limit, "limit", "off-heap memory limit in `bytes`, with an optional K, M or G (default: 256M, or four times what the files need if that is more)")
	fs.Uint64Var(&cfg.Seed, "seed", 0, "`n` makes the random choices repeatable, though not what the scheduler does (default: a random one, which the table shows)")
	fs.IntVar(&cfg.Flood, "flood", 1_000_000, "`n` objects of 64 bytes in the cold flood; 0 leaves it out (default 1000000)")
	fs.BoolVar(asJSON, "json", false, "print one JSON object on stdout instead of the tables; names tell the units")
	return fs
}

func runDemo(args []string, s streams) int {
	var cfg demo.Config
	var limit size
	var asJSON bool
	fs := demoFlags(&cfg, &limit, &asJSON)
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce demo: %v (see quiesce demo -h)\n", err)
		return exitUsage
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, demoHead+describe(fs)+demoTail)
		return exitOK
	case err != nil:
		return usage(err)
	case len(rest) > 1:
		return usage(fmt.Sprintf("one DIR, please, not %d: %s", len(rest), strings.Join(rest, " ")))
	case len(rest) == 1:
		cfg.Dir = rest[0]
	default:
		if cfg.Dir, err = goSource(); err != nil {
			return usage(err)
		}
	}
	cfg.Limit = int64(limit)
	if !isSet(fs, "seed") {
		cfg.Seed = uint64(rand.Uint32()) // short enough to be typed again
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	show := newDisplay(s.err, cfg)
	rep, err := demo.Run(ctx, cfg, show.tell)
	show.end(ctx.Err() != nil)
	if err != nil {
		if input := (*demo.InputError)(nil); errors.As(err, &input) {
			return usage(err)
		}
		fmt.Fprintf(s.err, "quiesce demo: %v\n", err)
		return exitFailed
	}
	var b bytes.Buffer
	if asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	} else {
		render(&b, &rep, columns(s.out) > 0 && os.Getenv("NO_COLOR") == "")
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce demo: the report could not be written: %v\n", err)
		return exitFailed
	}
	return status(&rep)
}

// status is the exit status that tells of a report.
func status(rep *demo.Report) int {
	switch {
	case !rep.OK:
		return exitFailed
	case rep.Partial:
		return exitInterrupted
	}
	return exitOK
}

func isSet(fs *flag.FlagSet, name string) (set bool) {
	fs.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// goSource finds the Go installation's src.
func goSource() (string, error) {
	root := os.Getenv("GOROOT")
	if root == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if root = strings.TrimSpace(string(out)); err != nil || root == "" {
			return "", errors.New("no DIR given, and no Go installation found to take its place")
		}
	}
	return filepath.Join(root, "src"), nil
}
