package torture

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"quiesce/internal/sys"
)

// Config says what Run does.
type Config struct {
	Scenarios []*Scenario
	Duration  time.Duration // of all scenarios together
	Seed      uint64
	Fault     float64   // percent of allocations made to fail where the scenario says nothing
	Params    string    // words of name=value that override every scenario's
	Child     []string  // the command that calls Child
	Quit      os.Signal // has a child print its stacks and end; nil: Kill
}

// InputError is an error of what the user gave.
type InputError struct{ msg string }

func (e *InputError) Error() string { return e.msg }

func inputError(format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...)}
}

// Report is what a run found. Its JSON form is stable: names tell the unit.
type Report struct {
	OK        bool      `json:"ok"`
	Partial   bool      `json:"partial"` // interrupted
	Seed      uint64    `json:"seed"`
	DurationS float64   `json:"duration_s"`
	RanS      float64   `json:"ran_s"`
	Rounds    int       `json:"rounds"`
	Delays    bool      `json:"built_with_delays"`
	Results   []*Result `json:"scenarios"`
}

const (
	turn     = 30 * time.Second       // of a scenario, about; a longer run has several rounds
	minTurn  = 500 * time.Millisecond // a shorter one tests nothing
	ChildArg = "-child"               // the one argument of a child's command line
)

// rounds divides a duration among n scenarios: how often each is run, and for
// how long.
func rounds(d time.Duration, n int) (int, time.Duration) {
	r := max(1, int((d+turn*time.Duration(n)/2)/(turn*time.Duration(n))))
	return r, max(minTurn, d/time.Duration(n*r))
}

// Run runs the scenarios in rounds. When ctx ends early the report covers what
// was done. tell, which may be nil, receives a status now and then. The error
// is an *InputError if the configuration is to blame.
func Run(ctx context.Context, cfg Config, tell func(Status)) (*Report, error) {
	if tell == nil {
		tell = func(Status) {}
	}
	if cfg.Duration <= 0 {
		return nil, inputError("the duration must be more than 0, not %v", cfg.Duration)
	}
	if !(cfg.Fault >= 0 && cfg.Fault <= 100) {
		return nil, inputError("fault must be from 0 to 100 percent, not %v", cfg.Fault)
	}
	if len(cfg.Scenarios) == 0 {
		return nil, inputError("no scenarios")
	}
	var scenarios []*Scenario
	for _, s := range cfg.Scenarios {
		s := *s
		if s.p.failslab == 0 && s.p.failPage == 0 {
			s.p.failslab, s.p.failPage = cfg.Fault, cfg.Fault
		}
		if err := s.p.set(cfg.Params); err != nil {
			return nil, inputError("%v", err)
		}
		s.Broken = s.p.broken()
		scenarios = append(scenarios, &s)
	}
	n, length := rounds(cfg.Duration, len(scenarios))
	rep := &Report{Seed: cfg.Seed, DurationS: cfg.Duration.Seconds(), Delays: delays}
	for _, s := range scenarios {
		rep.Results = append(rep.Results, &Result{Scenario: s.Name, Params: s.p.words(), Options: s.p.options(), Broken: s.Broken})
	}
	start := time.Now()
	for round := 0; round < n && ctx.Err() == nil; round++ {
		if !slices.ContainsFunc(rep.Results, func(r *Result) bool { return len(r.Failures) == 0 }) {
			break // each of them has failed
		}
		rep.Rounds = round + 1
		for i, s := range scenarios {
			if ctx.Err() != nil {
				break
			}
			o := order{Scenario: s.Name, Params: s.p.words(), Seed: cfg.Seed + uint64(round), LengthS: length.Seconds()}
			show := func(st Status) {
				st.Round, st.Rounds = round+1, n
				st.Total, st.Length = time.Since(start), cfg.Duration
				tell(st)
			}
			show(Status{Scenario: s.Name, LengthS: o.LengthS})
			rep.Results[i].merge(runChild(ctx, cfg, s, o, show))
		}
	}
	rep.RanS = time.Since(start).Seconds()
	rep.Partial = ctx.Err() != nil
	rep.OK = true
	for _, r := range rep.Results {
		r.settle()
		rep.OK = rep.OK && r.OK
	}
	return rep, nil
}

// lockdepOptions are what children inherit of QUIESCE. A report of lockdep ends
// them, and so is a failure.
func lockdepOptions() []string {
	o := []string{"panic_on_report=1"}
	for _, name := range []string{"lockdep", "prove_raw_lock_nesting"} {
		if v, ok := sys.Option(name); ok {
			o = append(o, name+"="+v)
		}
	}
	return o
}

// grace is what a child gets beyond its time, its watchdog's times included,
// before it is told to show its stacks; and then before it is killed.
const grace = 10 * time.Second

// runChild runs a scenario in a process of its own.
func runChild(ctx context.Context, cfg Config, s *Scenario, o order, tell func(Status)) *Result {
	cmd := exec.Command(cfg.Child[0], cfg.Child[1:]...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "QUIESCE=") }),
		"QUIESCE="+strings.Join(append(s.p.env(), lockdepOptions()...), ","))
	log := &tail{}
	cmd.Stderr = log
	failed := func(kind, format string, args ...any) *Result {
		r := &Result{
			Scenario: s.Name, Params: s.p.words(), Options: s.p.options(), Broken: s.Broken, Rounds: 1, Seeds: []uint64{o.Seed},
			Failures: []Failure{{kind, 1, fmt.Sprintf(format, args...)}}, Log: log.String(),
		}
		return r
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return failed("process", "%v", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return failed("process", "%v", err)
	}
	if err := cmd.Start(); err != nil {
		return failed("process", "%v", err)
	}
	line, _ := json.Marshal(o)
	stdin.Write(append(line, '\n'))
	stopped := context.AfterFunc(ctx, func() { stdin.Close() })
	defer stopped()

	// The child's own watchdog reports a hang; this one is for a process whose
	// scheduler has come to a standstill.
	late := false
	var mu sync.Mutex
	quit := func() {
		mu.Lock()
		late = true
		mu.Unlock()
		if cfg.Quit != nil {
			cmd.Process.Signal(cfg.Quit)
			time.Sleep(5 * time.Second)
		}
		cmd.Process.Kill()
	}
	wd := time.AfterFunc(seconds(o.LengthS)+2*seconds(s.p.watchdog)+grace, quit)
	defer wd.Stop()

	var res *Result
	lines := bufio.NewReader(stdout)
	for {
		b, err := lines.ReadBytes('\n')
		if len(bytes.TrimSpace(b)) > 0 {
			var m message
			switch e := json.Unmarshal(b, &m); {
			case e != nil:
				log.Write(b)
			case m.Status != nil:
				tell(*m.Status)
			case m.Result != nil:
				res = m.Result
			case m.Error != "":
				res = failed("process", "%s", m.Error)
			}
		}
		if err != nil {
			break
		}
	}
	stdin.Close()
	err = cmd.Wait()
	mu.Lock()
	defer mu.Unlock()
	switch {
	case late && res == nil:
		return failed("hang", "the process did not answer %v after its time; its stacks are in the log", 2*seconds(s.p.watchdog)+grace)
	case res == nil:
		return failed("crash", "the process ended without a result: %v: %s", err, log.first())
	case len(res.Failures) > 0:
		res.Log = log.String()
	}
	return res
}

// tail keeps the beginning and the end of what was written.
type tail struct {
	mu   sync.Mutex
	head []byte
	last []byte
}

const tailBytes = 32 << 10

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if room := tailBytes - len(t.head); room > 0 {
		k := min(room, len(b))
		t.head = append(t.head, b[:k]...)
		b = b[k:]
	}
	t.last = append(t.last, b...)
	if over := len(t.last) - tailBytes; over > 0 {
		t.last = append(t.last[:0], t.last[over:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.last) == tailBytes {
		return string(t.head) + "\n...\n" + string(t.last)
	}
	return string(t.head) + string(t.last)
}

// first is the first line.
func (t *tail) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(t.String()), "\n")
	return line
}

var _ io.Writer = (*tail)(nil)
