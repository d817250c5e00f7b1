package harness

import (
	"flag"
	"fmt"
	"strings"
)

// Ratio has three digits or so, and a dash where there is none.
func Ratio(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return Thousands(int(v + 0.5))
	}
	return fmt.Sprintf("%.2f", v)
}

// NS is a time with three digits, or all that are before the point.
func NS(v float64) string {
	switch {
	case v >= 100:
		return Thousands(int(v + 0.5))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// Thousands writes a number with commas.
func Thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return Thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

// Plural is "1 row" or "2 rows".
func Plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// FirstLine is what an error's text begins with.
func FirstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// DescribeFlags lists a set's flags for a help text of at most 80 columns.
func DescribeFlags(fs *flag.FlagSet) string {
	const indent, width = 16, 78
	var b strings.Builder
	fs.VisitAll(func(f *flag.Flag) {
		value, usage := flag.UnquoteUsage(f)
		line := fmt.Sprintf("  %-*s", indent-2, strings.TrimSpace("-"+f.Name+" "+value))
		for i, word := range strings.Fields(usage) {
			if len(line)+1+len(word) > width {
				b.WriteString(strings.TrimRight(line, " ") + "\n")
				line = strings.Repeat(" ", indent)
			} else if i > 0 {
				line += " "
			}
			line += word
		}
		b.WriteString(line + "\n")
	})
	return b.String()
}
