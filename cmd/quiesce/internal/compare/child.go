package compare

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/preempt"
)

// order is what a child is to do. It answers with a message when a job begins
// and one when it ends.
type order struct {
	Strategy string `json:"strategy"`
	RT       bool   `json:"preempt_rt"`
	Quick    bool   `json:"quick,omitempty"`
	Jobs     []Job  `json:"jobs"`
}

type message struct {
	Job    int     `json:"job"` // -1: the order can't be carried out
	Begins bool    `json:"begins,omitempty"`
	Result result  `json:"result"`
	Error  string  `json:"error,omitempty"`
	Ref    float64 `json:"ref,omitempty"` // with Begins: bench.reference
}

// Child carries out one order. It returns the process's exit status.
func Child(in io.Reader, out io.Writer) int {
	enc := json.NewEncoder(out)
	var o order
	err := kit.Receive(in, &o, func() { os.Exit(1) })
	if err == nil && o.RT != preempt.RT() {
		err = fmt.Errorf("want preempt_rt=%v; QUIESCE is %q", o.RT, os.Getenv("QUIESCE"))
	}
	if err != nil {
		enc.Encode(message{Job: -1, Error: err.Error()})
		return 1
	}
	b := newBench(o.Strategy)
	b.quick = o.Quick
	for i, j := range o.Jobs {
		enc.Encode(message{Job: i, Begins: true, Ref: b.reference()})
		m := message{Job: i}
		if m.Result, err = b.run(j); err != nil {
			m.Error = err.Error()
		}
		enc.Encode(m)
	}
	return 0
}

// jobLimit is how long a job may take before its process is killed.
const jobLimit = 90 * time.Second

// listener receives what children report.
type listener struct {
	begins func(j Job, ref float64)
	ends   func(j Job, r result, err error)
}

// children carries out an order, in as many processes as it takes: one that
// dies is followed by another for the jobs after the one that it died of.
func children(ctx context.Context, command []string, o order, l listener) error {
	for len(o.Jobs) > 0 && ctx.Err() == nil {
		done, why, err := oneChild(ctx, command, o, l)
		if err != nil {
			return err
		}
		if done < len(o.Jobs) && ctx.Err() == nil {
			l.ends(o.Jobs[done], died(o.Strategy, o.RT, o.Jobs[done], why), nil)
			done++
		}
		o.Jobs = o.Jobs[min(done, len(o.Jobs)):]
	}
	return nil
}

// oneChild returns how many jobs were done, and what ended the process if that
// is not all.
func oneChild(ctx context.Context, command []string, o order, l listener) (done int, why string, err error) {
	c := kit.Child{Command: command, Options: []string{"preempt_rt=0"}, Limit: jobLimit}
	if o.RT {
		c.Options = []string{"preempt_rt=1"}
	}
	exit, failed := kit.Ask(ctx, c, o, func(m message) (restart bool) {
		switch {
		case m.Job < 0:
			err = errors.New(m.Error)
		case m.Begins:
			l.begins(o.Jobs[m.Job], m.Ref)
		case m.Error != "":
			l.ends(o.Jobs[m.Job], m.Result, errors.New(m.Error))
			done = m.Job + 1
		default:
			l.ends(o.Jobs[m.Job], m.Result, nil)
			done = m.Job + 1
		}
		return m.Begins
	})
	if failed != nil {
		return 0, "", fmt.Errorf("a process for %s can't be started: %w", o.Strategy, failed)
	}
	return done, cmp.Or(exit.Log.Cause(), fmt.Sprint(exit.Err)), err
}
