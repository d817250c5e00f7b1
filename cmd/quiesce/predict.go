package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"quiesce/cmd/quiesce/internal/predict"
)

const modelHead = `quiesce model: what Quiesce would do on a machine with more processors

Usage: quiesce model [flags]

Measures some twenty parameters on this machine, on one P and two (membarriers,
lines that change processors, stacks, locks, sheaves, slabs, pages), puts them
into closed forms and into a simulation of P processors that allocate and free
by RCU without a pause, checks both against what one and two Ps really do here,
and predicts the rest. It ends with the answer: which resource bends first, at
how many Ps, and what would move it. Takes about half a minute.

Parameters are saved for the next run; -recalibrate measures them anew.

Flags:
`

const modelTail = `
Columns of the predictions:
  gp, membarrier   one grace period with every P running, and its barrier
  drain            one look of the drain worker at every P's slot
  depot wait       share of the Ps' time that goes to the sheaves' shared stacks
  slab lock        share of time that cache.mu is held
  worker           share of time that the reclaim worker wants a processor and
                   has one; at 100 it falls behind and the growth is not 0
  M/s              millions of objects allocated and freed by RCU per second
  in flight        freed, but not yet reclaimed, on average
  held             all slabs and sheaves at the end of the simulated time
  taken            time in which a P ran the worker instead

Examples:
  quiesce model
  quiesce model -ps 2,64,512 -work 100ns     (a program that does something)
  quiesce model -recalibrate -json > model.json

Exit status:
  0    done, and the model is within 30 % at one and two Ps
  1    it is further off, and says where; or the job could not be done
  2    a bad flag
  130  interrupted (SIGINT, SIGTERM); nothing is printed. A second Ctrl-C ends
       the process at once.
`

// modelFlags are the values that flags land in.
type modelFlags struct {
	ps, calibration     string
	seed                uint64
	work                time.Duration
	effort              float64
	asJSON, recalibrate bool
}

func (m *modelFlags) set() *flag.FlagSet {
	fs := newFlags("model")
	fs.StringVar(&m.ps, "ps", "8,16,32,64,128,256,512", "`numbers` of Ps to predict for, separated by commas (default 8,16,32,64,128,256,512)")
	fs.DurationVar(&m.work, "work", 0, "`time` that the program itself spends on each object (default 0: it does nothing else)")
	fs.Uint64Var(&m.seed, "seed", 1, "`n` makes the simulation repeatable, not the measurements (default 1; 0: a random one, which the report shows)")
	fs.Float64Var(&m.effort, "effort", 1, "`factor` for the length of measurements and simulations (default 1)")
	fs.StringVar(&m.calibration, "calibration", "", "`file` of the saved parameters (default: quiesce/model.json in the user's cache directory)")
	fs.BoolVar(&m.recalibrate, "recalibrate", false, "measure the parameters even if there are saved ones")
	fs.BoolVar(&m.asJSON, "json", false, "print one JSON object on stdout instead of the tables; names tell the units")
	return fs
}

func (m *modelFlags) config() (cfg predict.Config, err error) {
	cfg = predict.Config{Seed: m.seed, WorkNs: float64(m.work), Recalibrate: m.recalibrate, Cache: m.calibration, Effort: m.effort}
	for _, w := range strings.Split(m.ps, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(w))
		if err != nil || n < 1 || n > predict.MaxPs {
			return cfg, fmt.Errorf("-ps: want numbers from 1 to %d with commas between them, not %q", predict.MaxPs, w)
		}
		cfg.Ps = append(cfg.Ps, n)
	}
	if m.work < 0 || m.work > time.Millisecond {
		return cfg, errors.New("-work: want a time from 0 to 1ms")
	}
	if !(m.effort > 0 && m.effort <= 100) {
		return cfg, errors.New("-effort: want a factor above 0, at most 100")
	}
	if cfg.Seed == 0 {
		cfg.Seed = uint64(rand.Uint32()) + 1
	}
	if cfg.Cache == "" {
		if dir, err := os.UserCacheDir(); err == nil { // without one nothing is saved
			cfg.Cache = filepath.Join(dir, "quiesce", "model.json")
		}
	}
	return cfg, nil
}

func runModel(args []string, s streams) int {
	var m modelFlags
	fs := m.set()
	usage := func(err any) int {
		fmt.Fprintf(s.err, "quiesce model: %v (see quiesce model -h)\n", err)
		return exitUsage
	}
	rest, err := parse(fs, args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(s.out, modelHead+describe(fs)+modelTail)
		return exitOK
	case err != nil:
		return usage(err)
	case len(rest) > 0:
		return usage(fmt.Sprintf("no arguments, please: %s", strings.Join(rest, " ")))
	}
	cfg, err := m.config()
	if err != nil {
		return usage(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process

	show := &modelDisplay{w: s.err, width: columns(s.err)}
	cfg.Tell = show.tell
	rep, err := predict.Run(ctx, cfg)
	show.clear()
	if ctx.Err() != nil {
		fmt.Fprintln(s.err, "quiesce model: interrupted")
		return exitInterrupted
	}
	if err != nil {
		fmt.Fprintf(s.err, "quiesce model: %v\n", err)
		return exitFailed
	}
	var b bytes.Buffer
	if m.asJSON {
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		err = e.Encode(rep)
	} else {
		err = rep.Print(&b)
	}
	if err == nil {
		_, err = s.out.Write(b.Bytes())
	}
	switch {
	case err != nil:
		fmt.Fprintf(s.err, "quiesce model: the report could not be written: %v\n", err)
		return exitFailed
	case !rep.OK:
		return exitFailed
	}
	return exitOK
}

// modelDisplay shows what is being done: one line that changes on a terminal,
// a line for each kind of work elsewhere.
type modelDisplay struct {
	w     io.Writer
	width int
	last  string
}

func (d *modelDisplay) tell(what string, done, total int) {
	line := what
	if total > 0 {
		line = fmt.Sprintf("%s, %d of %d", what, done, total)
	}
	switch {
	case d.width > 0:
		fmt.Fprint(d.w, "\r"+clearLine+line)
	case what != d.last:
		fmt.Fprintln(d.w, "quiesce model:", what)
	}
	d.last = what
}

func (d *modelDisplay) clear() {
	if d.width > 0 {
		fmt.Fprint(d.w, "\r"+clearLine)
	}
}
