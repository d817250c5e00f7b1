package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"quiesce/tests/internal/overlay"
)

// result is the outcome of one mutant.
type result struct {
	Mutant  string  `json:"mutant"`
	Breaks  string  `json:"breaks"`
	File    string  `json:"file"`
	Killed  bool    `json:"killed"`
	By      string  `json:"by"`  // the test that failed, or that ran
	How     string  `json:"how"` // fails, dies, hangs; survives; or what else happened
	Says    string  `json:"says"`
	Seconds float64 `json:"seconds"`
	problem error   // the runner's, not the mutant's
	skipped bool    // interrupted
}

// bench is the place where mutants are compiled: a directory that goes away.
type bench struct {
	root string // of the repository
	dir  string
}

// build compiles the tests of a package with the given files in place of the
// repository's own.
func (b *bench) build(ctx context.Context, name, pkg string, flags []string, files map[string]string) (binary string, err error) {
	dir := filepath.Join(b.dir, name)
	list, err := overlay.Write(b.root, dir, files)
	if err != nil {
		return "", err
	}
	binary = filepath.Join(dir, "killer.test")
	args := append([]string{"test", "-c", "-overlay=" + list, "-o", binary}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...)
	cmd.Dir = b.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("does not compile: %w\n%s", err, out)
	}
	return binary, nil
}

// outcome is how a run of a test binary ended.
type outcome struct {
	how  string // passes, is skipped, fails, dies, hangs
	test string
	says string
}

// run runs the killer's tests.
func (b *bench) run(ctx context.Context, binary string, k killer) (outcome, error) {
	limit := k.bound()
	// The test binary ends itself at its limit. If it can't, it is ended.
	ctx, cancel := context.WithTimeout(ctx, limit+20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary,
		"-test.run=^("+k.Tests+")$", "-test.v", "-test.failfast",
		"-test.count="+strconv.Itoa(max(k.Count, 1)), "-test.timeout="+limit.String())
	cmd.Dir = filepath.Join(b.root, filepath.FromSlash(k.Pkg))
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "QUIESCE") && !strings.HasPrefix(kv, "GOMAXPROCS=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	cmd.Env = append(append(cmd.Env, "QUIESCE_TEST_LONG=1"), k.Env...)
	defer ownGroup(cmd)()           // a mutant may hang in a child of its tests
	cmd.WaitDelay = 2 * time.Second // for grandchildren that hold its output
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && ctx.Err() == nil && !errors.Is(err, exec.ErrWaitDelay) {
		return outcome{}, err
	}
	return judge(out.String(), err == nil, ctx.Err() != nil)
}

var (
	runsLine   = regexp.MustCompile(`(?m)^=== (?:RUN|CONT) +(\S+)$`)
	failsLine  = regexp.MustCompile(`(?m)^ *--- FAIL: (\S+)`)
	saysLine   = regexp.MustCompile(`(?m)^ +\w+_test\.go:\d+: (.+)$`)
	diesLine   = regexp.MustCompile(`(?m)^(?:panic: |(?:fatal error: )+)(.+?)(?: \[recovered.*)?$`)
	faultLine  = regexp.MustCompile(`(?m)^(?:unexpected fault address|SIG[A-Z]+:) .*$`)
	skipsLine  = regexp.MustCompile(`(?m)^--- SKIP: (\S+)`)
	noTestLine = regexp.MustCompile(`(?m)^testing: warning: no tests to run$`)
)

// judge finds from a test binary's output how it ended.
func judge(out string, passed, ended bool) (outcome, error) {
	last := ""
	if all := runsLine.FindAllStringSubmatch(out, -1); len(all) > 0 {
		last = all[len(all)-1][1]
	}
	death := diesLine.FindStringSubmatch(out)
	switch {
	case ended || death != nil && strings.HasPrefix(death[1], "test timed out"):
		return outcome{"hangs", last, ""}, nil
	case noTestLine.MatchString(out) || last == "" && death == nil:
		return outcome{}, errors.New("no test ran:\n" + out)
	case passed:
		if m := skipsLine.FindStringSubmatch(out); m != nil {
			return outcome{"is skipped", m[1], ""}, nil
		}
		return outcome{"passes", last, ""}, nil
	case death != nil:
		return outcome{"dies", last, death[1]}, nil
	}
	if m := faultLine.FindString(out); m != "" {
		return outcome{"dies", last, m}, nil
	}
	// A test's subtests that failed come after it: the last name of the first
	// group is the one that says most.
	fails := failsLine.FindAllStringSubmatch(out, -1)
	if len(fails) == 0 {
		return outcome{}, errors.New("the tests ended in an unknown way:\n" + out)
	}
	name := fails[0][1]
	for _, f := range fails[1:] {
		if strings.HasPrefix(f[1], name+"/") {
			name = f[1]
		}
	}
	says := ""
	if m := saysLine.FindStringSubmatch(out); m != nil {
		says = m[1]
	}
	return outcome{"fails", name, says}, nil
}

// kill compiles the mutant and runs its killer.
func (b *bench) kill(ctx context.Context, m mutant) (r result) {
	start := time.Now()
	r = result{Mutant: m.Name, Breaks: m.Breaks, File: m.File}
	defer func() { r.Seconds = time.Since(start).Seconds() }()
	text, err := os.ReadFile(filepath.Join(b.root, filepath.FromSlash(m.File)))
	if err != nil {
		r.problem = err
		return r
	}
	mutated, err := m.apply(string(text))
	if err != nil {
		r.problem = err
		return r
	}
	binary, err := b.build(ctx, m.Name, m.Killer.Pkg, m.Killer.Flags, map[string]string{m.File: mutated})
	if err != nil {
		r.problem = err
		return r
	}
	defer os.Remove(binary)
	o, err := b.run(ctx, binary, m.Killer)
	if err != nil {
		r.problem = err
		return r
	}
	r.By, r.How, r.Says = o.test, o.how, o.says
	if ctx.Err() != nil {
		r.problem = ctx.Err()
		return r
	}
	switch {
	case o.how == "passes", o.how == "is skipped":
		r.How, r.By = "survives", ""
	case o.how == "fails":
		r.Killed = true
	case o.how == "dies":
		r.Killed = m.Killer.Dies != "" && strings.Contains(o.says, m.Killer.Dies)
	case o.how == "hangs":
		r.Killed = m.Killer.Hangs
	}
	return r
}

// group is what can share a test binary and a run of the unmutated code.
type group struct {
	killer
	names []string
}

// groups joins killers that differ in their tests only.
func groups(ms []mutant) (gs []*group) {
	at := map[string]*group{}
	for _, m := range ms {
		k := m.Killer
		key := fmt.Sprint(k.Pkg, k.Flags, k.Env)
		g := at[key]
		if g == nil {
			g = &group{killer: killer{Pkg: k.Pkg, Flags: k.Flags, Env: k.Env, Limit: 4 * time.Minute}}
			at[key] = g
			gs = append(gs, g)
		}
		for t := range strings.SplitSeq(k.Tests, "|") {
			if !contains(g.names, t) {
				g.names = append(g.names, t)
			}
		}
	}
	for _, g := range gs {
		g.Tests = strings.Join(g.names, "|")
	}
	return gs
}

func contains(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// control checks that the killers pass on the code as it is.
func (b *bench) control(ctx context.Context, i int, g *group) error {
	binary, err := b.build(ctx, "control"+strconv.Itoa(i), g.Pkg, g.Flags, nil)
	if err != nil {
		return err
	}
	defer os.Remove(binary)
	o, err := b.run(ctx, binary, g.killer)
	if err != nil {
		return err
	}
	if o.how != "passes" {
		return fmt.Errorf("%s %s without any mutant: %s", o.test, o.how, o.says)
	}
	return nil
}
