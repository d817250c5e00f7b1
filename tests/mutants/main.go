package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"text/tabwriter"

	"quiesce/tests/internal/overlay"
)

const usage = `usage: go run ./tests/mutants [-run regexp] [-list] [-json]

Breaks the library in a few dozen ways, one at a time, and shows that the tests
notice. Each mutant of the list (tests/mutants/*.toml) is a small change of
the code, the guarantee that it breaks, and the tests that must fail:

  1. the tests pass on the code as it is, or nothing else is worth knowing;
  2. each mutant is compiled in a temporary directory (go test -overlay: no
     file of the repository is touched), and its tests are run;
  3. it is killed if one of them fails, or, where the list says that it shows
     in this way, if the process dies with the expected words or does not end.

A mutant that survives means that the tests have a hole. One that can't be
compiled any more, or whose text is gone, has to follow the code. Progress goes to
standard error, the table to standard output; the exit status is 0 if all were
killed, 1 if not, 2 for wrong use. Two mutants at a time, those that need two
processors for themselves one by one at the end: some minutes in all.

`

func main() {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	only := flags.String("run", "", "only mutants whose name matches the `regexp`")
	list := flags.Bool("list", false, "print the list and run nothing")
	asJSON := flags.Bool("json", false, "print the results as JSON in place of the table")
	switch err := flags.Parse(os.Args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		os.Exit(0)
	case err != nil:
		os.Exit(2)
	case flags.NArg() > 0:
		fmt.Fprintf(os.Stderr, "mutants: unknown argument %q; -h explains\n", flags.Arg(0))
		os.Exit(2)
	}
	pattern, err := regexp.Compile(*only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants: -run:", err)
		os.Exit(2)
	}
	every, err := all()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
	var ms []mutant
	for _, m := range every {
		if pattern.MatchString(m.Name) {
			ms = append(ms, m)
		}
	}
	if len(ms) == 0 {
		fmt.Fprintf(os.Stderr, "mutants: no mutant matches %q; -list shows them\n", *only)
		os.Exit(2)
	}
	if *list {
		printList(os.Stdout, ms)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rs, err := runAll(ctx, ms)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
	if *asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "\t")
		err = enc.Encode(rs)
	} else {
		err = printTable(os.Stdout, rs)
	}
	if err != nil || !report(os.Stderr, rs, ctx.Err() != nil) {
		stop()
		os.Exit(1)
	}
}

// runAll is the whole job. The error is the runner's own.
func runAll(ctx context.Context, ms []mutant) ([]result, error) {
	root, err := overlay.Root(ctx)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{root: root, dir: dir}

	gs := groups(ms)
	fmt.Fprintf(os.Stderr, "the killing tests on the code as it is: %d packages\n", len(gs))
	errs := make([]error, len(gs))
	pool(len(gs), jobs, func(i int) { errs[i] = b.control(ctx, i, gs[i]) })
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", gs[i].Pkg, err)
		}
	}

	var together, alone []int
	for i, m := range ms {
		if m.Killer.Alone {
			alone = append(alone, i)
		} else {
			together = append(together, i)
		}
	}
	rs := make([]result, len(ms))
	var mu sync.Mutex
	done, width := 0, 0
	for _, m := range ms {
		width = max(width, len(m.Name))
	}
	one := func(i int) {
		if ctx.Err() != nil {
			rs[i] = result{Mutant: ms[i].Name, Breaks: ms[i].Breaks, File: ms[i].File, How: "interrupted", skipped: true}
			return
		}
		r := b.kill(ctx, ms[i])
		if ctx.Err() != nil {
			r.skipped, r.problem, r.Killed, r.How = true, nil, false, "interrupted"
		}
		if r.problem != nil {
			r.How, r.Says = "error", r.problem.Error()
		}
		rs[i] = r
		mu.Lock()
		defer mu.Unlock()
		done++
		fmt.Fprintf(os.Stderr, "[%*d/%d] %-*s  %s\n", len(fmt.Sprint(len(ms))), done, len(ms), width, r.Mutant, r.line())
	}
	pool(len(together), jobs, func(i int) { one(together[i]) })
	pool(len(alone), 1, func(i int) { one(alone[i]) })
	return rs, nil
}

// jobs is how many mutants are compiled and run at a time.
const jobs = 2

// pool calls fn for 0 to n-1, so many at a time, and waits.
func pool(n, width int, fn func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range width {
		wg.Go(func() {
			for i := range next {
				fn(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// line is a result in a few words.
func (r result) line() string {
	switch {
	case r.skipped:
		return "interrupted"
	case r.problem != nil:
		return "ERROR: " + r.problem.Error()
	case r.Killed:
		return fmt.Sprintf("killed, %.1f s: %s: %s", r.Seconds, r.How, cut(r.Says, 90))
	}
	return fmt.Sprintf("NOT KILLED, %.1f s: %s %s", r.Seconds, r.How, cut(r.Says, 300))
}

// cut shortens a text to n bytes or a little less.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "…"
}

func printTable(w io.Writer, rs []result) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "mutant\tthe guarantee that it breaks\tkilled by\thow\ttime")
	for _, r := range rs {
		by, how := r.By, r.How
		switch {
		case r.problem != nil:
			by, how = "-", "ERROR"
		case !r.Killed:
			by, how = "-", strings.ToUpper(r.How)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%5.1f s\n", r.Mutant, r.Breaks, by, how, r.Seconds)
	}
	return t.Flush()
}

// report says what is wrong at length, and the sum. It returns whether
// nothing is.
func report(w io.Writer, rs []result, interrupted bool) bool {
	killed := 0
	for _, r := range rs {
		switch {
		case r.Killed:
			killed++
		case r.skipped:
		case r.problem != nil:
			fmt.Fprintf(w, "%s (%s): %v\n", r.Mutant, r.File, r.problem)
		case r.How == "survives":
			fmt.Fprintf(w, "%s (%s) survives: the tests have a hole\n", r.Mutant, r.File)
		default:
			fmt.Fprintf(w, "%s (%s): it %s, which is not how the list says that it shows: %s\n", r.Mutant, r.File, r.How, r.Says)
		}
	}
	if interrupted {
		fmt.Fprintln(w, "interrupted")
	}
	fmt.Fprintf(w, "%d of %d killed\n", killed, len(rs))
	return killed == len(rs)
}

func printList(w io.Writer, ms []mutant) {
	for _, m := range ms {
		fmt.Fprintf(w, "%s\n    breaks  %s\n    in      %s, %s\n", m.Name, m.Breaks, m.File, m.In)
		for _, e := range m.Edits {
			fmt.Fprintf(w, "    -       %s\n    +       %s\n", oneLine(e.Before), oneLine(e.After))
		}
		k := m.Killer
		cmd := []string{"go test"}
		cmd = append(append(k.Env[:len(k.Env):len(k.Env)], cmd...), k.Flags...)
		if k.Count > 1 {
			cmd = append(cmd, fmt.Sprintf("-count=%d", k.Count))
		}
		fmt.Fprintf(w, "    killer  %s -run '^(%s)$' ./%s\n", strings.Join(cmd, " "), k.Tests, k.Pkg)
		switch {
		case k.Dies != "":
			fmt.Fprintf(w, "    shows   a test fails, or the process dies: %s\n", k.Dies)
		case k.Hangs:
			fmt.Fprintf(w, "    shows   a test fails, or does not end within %v\n", k.bound())
		}
		fmt.Fprintln(w)
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
