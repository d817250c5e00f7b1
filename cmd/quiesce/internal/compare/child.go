package compare

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"quiesce/preempt"
)

// order is what the parent writes to a child's stdin, as one line of JSON. The
// child answers with a line when a job begins and one when it ends. When its
// stdin is closed it ends.
type order struct {
	Strategy string `json:"strategy"`
	RT       bool   `json:"preempt_rt"`
	Jobs     []Job  `json:"jobs"`
}

type message struct {
	Job    int     `json:"job"`
	Begins bool    `json:"begins,omitempty"`
	Result result  `json:"result"`
	Error  string  `json:"error,omitempty"`
	Ref    float64 `json:"ref,omitempty"` // with Begins: bench.reference
}

// Child carries out one order. It returns the process's exit status.
func Child(in io.Reader, out io.Writer) int {
	enc := json.NewEncoder(out)
	r := bufio.NewReader(in)
	var o order
	line, err := r.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err == nil && o.RT != preempt.RT() {
		err = fmt.Errorf("want preempt_rt=%v; QUIESCE is %q", o.RT, os.Getenv("QUIESCE"))
	}
	if err != nil {
		enc.Encode(message{Job: -1, Error: err.Error()})
		return 1
	}
	go func() {
		io.Copy(io.Discard, r) // the parent closes it, or is gone
		os.Exit(1)
	}()
	b := newBench(o.Strategy)
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

// children runs an order, in as many processes as it takes: one that dies is
// followed by another for the jobs behind the one that it died of.
func children(ctx context.Context, command []string, o order, tell func(j Job, ref float64), take func(j Job, r result, err error)) error {
	for len(o.Jobs) > 0 && ctx.Err() == nil {
		done, why, err := oneChild(ctx, command, o, tell, take)
		if err != nil {
			return err
		}
		if done < len(o.Jobs) && ctx.Err() == nil {
			take(o.Jobs[done], died(o.Strategy, o.RT, o.Jobs[done], why), nil)
			done++
		}
		o.Jobs = o.Jobs[min(done, len(o.Jobs)):]
	}
	return nil
}

// oneChild returns how many jobs were done, and what ended the process if that
// is not all.
func oneChild(ctx context.Context, command []string, o order, tell func(j Job, ref float64), take func(j Job, r result, err error)) (done int, why string, err error) {
	cmd := exec.Command(command[0], command[1:]...)
	rt := "0"
	if o.RT {
		rt = "1"
	}
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "QUIESCE=") }),
		"QUIESCE=preempt_rt="+rt)
	log := &head{}
	cmd.Stderr = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, "", err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", fmt.Errorf("a process for %s can't be started: %w", o.Strategy, err)
	}
	stop := context.AfterFunc(ctx, func() { stdin.Close(); cmd.Process.Kill() })
	defer stop()
	late := time.AfterFunc(jobLimit, func() { cmd.Process.Kill() })
	defer late.Stop()
	line, _ := json.Marshal(o)
	stdin.Write(append(line, '\n'))

	var failed error
	lines := bufio.NewReader(stdout)
	for {
		b, err := lines.ReadBytes('\n')
		var m message
		if len(b) > 0 && json.Unmarshal(b, &m) == nil {
			switch {
			case m.Job < 0:
				failed = errors.New(m.Error)
			case m.Begins:
				late.Reset(jobLimit)
				tell(o.Jobs[m.Job], m.Ref)
			case m.Error != "":
				take(o.Jobs[m.Job], m.Result, errors.New(m.Error))
				done = m.Job + 1
			default:
				take(o.Jobs[m.Job], m.Result, nil)
				done = m.Job + 1
			}
		}
		if err != nil {
			break
		}
	}
	stdin.Close()
	err = cmd.Wait()
	if failed != nil {
		return done, "", failed
	}
	return done, log.cause(err), nil
}

// head keeps the beginning of what was written.
type head struct {
	mu   sync.Mutex
	text []byte
}

func (h *head) Write(b []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text = append(h.text, b[:min(len(b), 32<<10-len(h.text))]...)
	return len(b), nil
}

// cause is the line that says what ended the process.
func (h *head) cause(err error) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for line := range strings.Lines(string(h.text)) {
		line = strings.TrimSpace(line)
		for _, p := range []string{"fatal error: ", "panic: "} {
			if rest, ok := strings.CutPrefix(line, p); ok {
				return rest
			}
		}
	}
	return fmt.Sprint(err)
}
