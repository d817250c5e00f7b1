package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// normalize turns -name into --name: cobra takes one dash for a row of short
// flags. Values of flags, and what follows "--", stay as they are.
func normalize(root *cobra.Command, args []string) []string {
	var out []string
	c := root
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(out, args[i:]...)
		}
		if !strings.HasPrefix(a, "-") {
			for _, sub := range c.Commands() {
				if sub.Name() == a {
					c = sub
					break
				}
			}
			out = append(out, a)
			continue
		}
		name, _, valued := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if a[:min(len(a), 2)] != "--" && len(name) > 1 && unicode.IsLetter(rune(name[0])) {
			a = "-" + a
		}
		out = append(out, a)
		if f := c.Flags().Lookup(name); f != nil && f.NoOptDefVal == "" && !valued && i+1 < len(args) {
			i++
			out = append(out, args[i])
		}
	}
	return out
}

// flagError words an error of the flags as the help text writes them, with one
// dash.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var noValue *pflag.ValueRequiredError
	var badValue *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		name := unknown.GetSpecifiedName()
		if c.Name() == "scale" && name == "cachegrind" {
			return &usageError{msg: "-cachegrind is now called quiesce scale misses", bare: true}
		}
		return &usageError{msg: "no such flag: -" + name}
	case errors.As(err, &noValue):
		return &usageError{msg: fmt.Sprintf("-%s needs a value", noValue.GetSpecifiedName())}
	case errors.As(err, &badValue):
		return &usageError{msg: fmt.Sprintf("-%s %q: %v", badValue.GetFlag().Name, badValue.GetValue(), reason(badValue.Unwrap()))}
	}
	return &usageError{msg: err.Error()}
}

// reason is what a parser has to say about a value, without the value.
func reason(err error) error {
	var num *strconv.NumError
	if errors.As(err, &num) {
		switch {
		case num.Func == "ParseBool":
			return errors.New("want true or false")
		case errors.Is(num.Err, strconv.ErrRange):
			return errors.New("too large")
		case strings.HasPrefix(num.Num, "-"):
			return errors.New("want a number from 0")
		}
		return errors.New("want a number")
	}
	if strings.Contains(err.Error(), "invalid duration ") {
		return errors.New("want a time like 500ms, 10s, 2m")
	}
	return err
}

// size is a flag of bytes: a number with an optional K, M or G, powers of 1024.
type size int64

func (s *size) String() string { return strconv.FormatInt(int64(*s), 10) }
func (s *size) Type() string   { return "bytes" }

var errSize = errors.New("want bytes, with an optional K, M or G")

var sizeFormat = regexp.MustCompile(`(?i)^\s*(\d+)([KMG]?)(?:I?B)?\s*$`)

func (s *size) Set(v string) error {
	m := sizeFormat.FindStringSubmatch(v)
	if m == nil {
		return errSize
	}
	if m[2] != "" {
		m[2] += "iB" // without it, go-humanize counts in powers of 1000
	}
	n, err := humanize.ParseBytes(m[1] + m[2])
	if err != nil || n > math.MaxInt64 {
		return errSize
	}
	*s = size(n)
	return nil
}
