package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/text"
)

// newFlags makes a flag set whose errors are returned, not printed.
func newFlags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// parse parses flags that may stand before, between and after the positional
// arguments, which it returns. "--" ends the flags.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			return nil, err
		}
		left := fs.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if used := len(args) - len(left); used > 0 && args[used-1] == "--" {
			return append(rest, left...), nil
		}
		rest = append(rest, left[0])
		args = left[1:]
	}
}

// describe lists a set's flags for a help text of at most 80 columns.
func describe(fs *flag.FlagSet) string {
	const indent = 20
	var b strings.Builder
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		lines := strings.Split(text.WrapSoft(usage, 78-indent), "\n")
		name := strings.TrimSpace("-" + f.Name + " " + value)
		if len(name) > indent-3 { // on a line of its own
			name += fmt.Sprintf("\n%*s", indent, "")
		}
		fmt.Fprintf(&b, "  %-*s%s\n", indent-2, name, strings.TrimSpace(lines[0]))
		for _, l := range lines[1:] {
			fmt.Fprintf(&b, "%*s%s\n", indent, "", strings.TrimSpace(l))
		}
	})
	return b.String()
}

// size is a flag of bytes: a number with an optional K, M or G, powers of 1024.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }

var errSize = errors.New("want bytes, with an optional K, M or G")

func (s *size) Set(v string) error {
	t := strings.ToUpper(strings.TrimSpace(v))
	t = strings.TrimSuffix(strings.TrimSuffix(t, "IB"), "B")
	shift := 0
	if t != "" {
		if i := strings.IndexByte("KMG", t[len(t)-1]); i >= 0 {
			shift, t = 10*(i+1), t[:len(t)-1]
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)>>shift {
		return errSize
	}
	*s = size(n << shift)
	return nil
}
