package kit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// The protocol between a command and its child processes, which run the same
// binary with the two arguments of [ChildArgs]:
//
//   - The parent writes an order to the child's stdin, as one line of JSON.
//   - The child writes messages to its stdout, each one line of JSON, or what
//     is meant for the user.
//   - The parent closes the child's stdin to end it early. The child ignores
//     SIGINT and SIGTERM, which the terminal sends to both.

// childWord is the first argument of a child process.
const childWord = "child"

// ChildArgs returns the arguments that make the binary a child doing a job.
func ChildArgs(job string) []string { return []string{childWord, job} }

// ChildJob returns the job of a process whose arguments, without the program's
// name, are args. ok is false in a process that is no child.
func ChildJob(args []string) (job string, ok bool) {
	if len(args) != 2 || args[0] != childWord {
		return "", false
	}
	return args[1], true
}

// Receive reads a child's order from in, which is its stdin. It calls ended
// when in ends after that: the parent has closed it, or is gone. With a nil
// ended it starts no goroutine to wait for that.
func Receive(in io.Reader, order any, ended func()) error {
	signal.Ignore(os.Interrupt, syscall.SIGTERM)
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("no order on stdin: %w", err)
	}
	if err := json.Unmarshal(line, order); err != nil {
		return fmt.Errorf("an order on stdin: %w", err)
	}
	if ended == nil {
		return nil
	}
	go func() {
		io.Copy(io.Discard, r)
		ended()
	}()
	return nil
}

// Child says how to run a child process.
type Child struct {
	Command []string      // the program and its arguments
	Env     []string      // added to the environment
	Options []string      // QUIESCE in the child, in place of the inherited one; nil: inherited
	Limit   time.Duration // how long it may take; 0: no limit
	Quit    os.Signal     // sent at the limit, a while before the child is killed; nil: it is killed at once
	Grace   time.Duration // how long it may take to end after the context has; 0: it is killed at once
}

// Exit says how a child process ended.
type Exit struct {
	Err  error // nil: with status 0
	Code int   // exit status; -1: ended by a signal
	Late bool  // the limit had passed
	Log  *Log  // what it wrote to stderr, and to stdout other than messages
}

// afterQuit is how long a child has to print its stacks, once it was sent Quit or
// met a fatal error. A runtime that dies pinned, or with locks held, may hang
// over its own message.
const afterQuit = 3 * time.Second

// process is a running child.
type process struct {
	*exec.Cmd
	stdin io.Closer
	limit *time.Timer
	late  atomic.Bool
	stop  func() bool // of the context's watch
	kill  atomic.Pointer[time.Timer]
}

// start starts cmd as the child c and writes the order.
func (c *Child) start(ctx context.Context, cmd *exec.Cmd, order any) (*process, error) {
	cmd.Env = os.Environ()
	if c.Options != nil {
		cmd.Env = slices.DeleteFunc(cmd.Env, func(kv string) bool { return strings.HasPrefix(kv, "QUIESCE=") })
		cmd.Env = append(cmd.Env, "QUIESCE="+strings.Join(c.Options, ","))
	}
	cmd.Env = append(cmd.Env, c.Env...)
	line, err := json.Marshal(order)
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stdin.Write(append(line, '\n')) // a child that has ended by now says why
	p := &process{Cmd: cmd, stdin: stdin}
	p.stop = context.AfterFunc(ctx, func() {
		stdin.Close()
		if c.Grace == 0 {
			cmd.Process.Kill()
			return
		}
		p.kill.Store(time.AfterFunc(c.Grace, func() { cmd.Process.Kill() }))
	})
	if c.Limit > 0 {
		p.limit = time.AfterFunc(c.Limit, func() {
			p.late.Store(true)
			if c.Quit != nil {
				cmd.Process.Signal(c.Quit)
				time.Sleep(afterQuit)
			}
			cmd.Process.Kill()
		})
	}
	return p, nil
}

// end waits for the process.
func (p *process) end(log *Log) Exit {
	err := p.Wait()
	p.stdin.Close()
	p.stop()
	for _, t := range []*time.Timer{p.limit, p.kill.Load()} {
		if t != nil {
			t.Stop()
		}
	}
	return Exit{Err: err, Code: p.ProcessState.ExitCode(), Late: p.late.Load(), Log: log}
}

// Ask runs a child, and calls got with every message from it. A got that
// returns true restarts the child's limit. The error says why there is no
// process.
func Ask[M any](ctx context.Context, c Child, order any, got func(M) (restart bool)) (Exit, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	log := &Log{fatal: func() {
		time.AfterFunc(afterQuit, func() { cmd.Process.Kill() }) // an error if it has ended
	}}
	cmd.Stderr = log
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return Exit{}, err
	}
	p, err := c.start(ctx, cmd, order)
	if err != nil {
		return Exit{}, err
	}
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			var m M
			if json.Unmarshal(line, &m) != nil {
				log.Write(line)
			} else if got(m) && p.limit != nil {
				p.limit.Reset(c.Limit)
			}
		}
		if err != nil {
			p.stdin.Close() // a child that has closed its stdout has nothing more to say
			return p.end(log), nil
		}
	}
}

// Pass runs a child that writes to out and errs itself. The error says why
// there is no process.
func Pass(ctx context.Context, c Child, order any, out, errs io.Writer) (Exit, error) {
	cmd := exec.Command(c.Command[0], c.Command[1:]...)
	cmd.Stdout, cmd.Stderr = out, errs
	p, err := c.start(ctx, cmd, order)
	if err != nil {
		return Exit{}, err
	}
	return p.end(nil), nil
}
