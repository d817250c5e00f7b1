package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"quiesce/cmd/quiesce/internal/demo"
	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/inspect"
)

var demoJob = job{
	use:   "demo [flags] [DIR]",
	short: "kfree_rcu end to end, on real files",
	about: `
Loads the path, size, mode, time and content checksum (CRC-32C) of every
regular file below DIR into a hash map outside the Go heap. Then readers look
random paths up, without locks, and verify every record, while writers
replace, delete and re-insert records. Each old record goes to FreeRCU: from
a plain goroutine, under a raw spinlock, with preemption disabled, with
interrupts off, or in a hard interrupt handler. In the middle of the run the
page lists are kept exhausted, so that FreeRCU finds no array; GOMAXPROCS
changes four times. A table says what happened. A second one has the cost of
a flood of cold objects, next to a walk of the same objects as a linked list.

DIR is by default the Go installation's src.`,
	examples: []string{"quiesce demo -duration 30s -readers 4 -writers 2 /usr/share"},
	exits: exits{
		ok:          "no integrity errors, no leaks",
		failed:      "integrity errors or leaks; or " + couldNotBeDone,
		usage:       "a bad flag; DIR is missing, has no regular file, or does not fit -limit",
		interrupted: summarySoFar,
	},
	maxArgs:  1,
	argsHint: "want one DIR",
	flags:    demoFlags,
}

func demoFlags(fs *pflag.FlagSet) func(*run) (*result, error) {
	var cfg demo.Config
	var limit size
	fs.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long readers and writers run, a `time` like 500ms, 10s, 2m; a very short run continues, for up to 2s, until FreeRCU found no array (default 10s)")
	fs.IntVar(&cfg.Readers, "readers", 0, "`n` goroutines look up (default: GOMAXPROCS)")
	fs.IntVar(&cfg.Writers, "writers", 0, "`n` goroutines replace and delete (default: half of GOMAXPROCS, at least 1)")
	fs.Var(&limit, "limit", "off-heap memory limit in `bytes`, with an optional K, M or G (default: 256M, or four times what the files need if that is more)")
	fs.Uint64Var(&cfg.Seed, "seed", 0, "`n` makes the random choices repeatable, though not what the scheduler does (default: a random one, which the table shows)")
	debug := fs.String("debug", "", "`address` of an HTTP page of what it does meanwhile, for a browser and quiesce top (127.0.0.1:6060); default: none")
	fs.IntVar(&cfg.Flood, "flood", 1_000_000, "`n` objects of 64 bytes in the cold flood; 0 leaves it out (default 1000000)")
	return func(r *run) (*result, error) {
		var err error
		if len(r.args) == 1 {
			cfg.Dir = r.args[0]
		} else if cfg.Dir, err = goSource(); err != nil {
			return nil, err
		}
		cfg.Limit = int64(limit)
		if !r.Changed("seed") {
			cfg.Seed = uint64(rand.Uint32()) // short enough to be typed again
		}
		if *debug != "" {
			page, closePage, err := servePage(*debug)
			if err != nil {
				return nil, err
			}
			defer closePage()
			fmt.Fprintf(r.err, "quiesce demo: page at %s\n", page)
		}
		rep, err := demo.Run(r, cfg, r.progress)
		if err != nil {
			return nil, err
		}
		return demoResult(&rep), nil
	}
}

// servePage serves inspect's page until closePage is called.
func servePage(address string) (url string, closePage func() error, err error) {
	const path = "/debug/quiesce/"
	l, err := net.Listen("tcp", address)
	if err != nil {
		return "", nil, kit.BadInput("-debug: %v", err)
	}
	mux := http.NewServeMux()
	mux.Handle(path, inspect.Handler())
	s := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	go s.Serve(l)
	return "http://" + l.Addr().String() + path, s.Close, nil
}

func demoResult(rep *demo.Report) *result {
	return &result{report: rep, render: func(w io.Writer) error { renderDemo(w, rep); return nil }, partial: rep.Partial, ok: rep.OK}
}

// goSource finds the Go installation's src.
func goSource() (string, error) {
	root := os.Getenv("GOROOT")
	if root == "" {
		out, err := exec.Command("go", "env", "GOROOT").Output()
		if root = strings.TrimSpace(string(out)); err != nil || root == "" {
			return "", kit.BadInput("no DIR given, and no Go installation found to take its place")
		}
	}
	return filepath.Join(root, "src"), nil
}
