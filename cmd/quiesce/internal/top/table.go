package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/dustin/go-humanize"
	"github.com/mattn/go-runewidth"

	"quiesce/cmd/quiesce/internal/kit"
)

// column is a column of numbers, or of names if it has no number.
type column[T any] struct {
	title  string
	width  int
	from   int // the width of the screen from which on it is shown
	number func(*T) float64
	text   func(*T) string
}

// table is a kind of object. Its first column has their names, and all the width
// that the others leave.
type table[T any] struct {
	columns []column[T]
	order   int // the column that rows are sorted by at first
}

// nameWidth is what a name has at least.
const nameWidth = 12

// order says how rows are sorted.
type order struct {
	column  int // how many columns after the one of the table's own choice
	reverse bool
}

// shown returns the columns for a screen, with the width of the first filled in.
func (t *table[T]) shown(width int) []column[T] {
	var cs []column[T]
	rest := width
	for i, c := range t.columns {
		if c.from > width || i > 0 && rest-c.width-1 < nameWidth {
			continue
		}
		cs = append(cs, c)
		if i > 0 {
			rest -= c.width + 1
		}
	}
	cs[0].width = max(rest, 1)
	return cs
}

// text is what a view shows.
type text struct {
	head  string // the titles of the columns
	by    string // the one that the lines are sorted by; "": they have no order
	lines []string
}

// lines returns a line for each of the rows, sorted.
func (t *table[T]) lines(rows []T, width int, o order) (out text) {
	cs := t.shown(width)
	by := (t.order + o.column) % len(cs)
	sorted := make([]*T, len(rows))
	for i := range rows {
		sorted[i] = &rows[i]
	}
	slices.SortStableFunc(sorted, func(a, b *T) int {
		n := 0
		if c := cs[by]; c.number != nil {
			n = cmp.Compare(c.number(b), c.number(a)) // the largest first
		} else {
			n = strings.Compare(c.text(a), c.text(b))
		}
		if o.reverse {
			n = -n
		}
		return n
	})
	line := func(cell func(column[T]) string) string {
		var b strings.Builder
		for i, c := range cs {
			text := runewidth.Truncate(cell(c), c.width, "…")
			switch {
			case i == 0:
				b.WriteString(runewidth.FillRight(text, c.width))
			case c.number == nil:
				b.WriteString(" " + runewidth.FillRight(text, c.width))
			default:
				b.WriteString(" " + runewidth.FillLeft(text, c.width))
			}
		}
		return b.String()
	}
	out.by = cs[by].title
	out.head = line(func(c column[T]) string { return c.title })
	for _, row := range sorted {
		out.lines = append(out.lines, line(func(c column[T]) string { return c.text(row) }))
	}
	return out
}

// clean returns a name of the other process as what can be shown: no control
// character reaches the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// name is a column of names.
func name[T any](title string, width, from int, of func(*T) string) column[T] {
	return column[T]{title: title, width: width, from: from, text: func(t *T) string { return clean(of(t)) }}
}

// number is a column of numbers.
func number[T any](title string, width, from int, show func(float64) string, of func(*T) float64) column[T] {
	return column[T]{title, width, from, of, func(t *T) string { return show(of(t)) }}
}

func size(v float64) string { return humanize.IBytes(uint64(max(v, 0))) }

// bound is a size that is 0 if there is none.
func bound(v float64) string {
	if v == 0 {
		return "-"
	}
	return size(v)
}

func amount(v float64) string {
	if v < 100_000 {
		return humanize.Comma(int64(v))
	}
	return kit.SI(v)
}

// rate is a number a second, as a cell: what does not happen does not catch the eye.
func rate(v float64) string {
	if v == 0 {
		return "-"
	}
	return perSecond(v)
}

func perSecond(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v < 1: // and not 669 m
		return fmt.Sprintf("%.2f", v)
	}
	return kit.SI(v)
}

// percent is a part of 1; less than 0 is none.
func percent(v float64) string {
	if v < 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f", 100*v)
}

// part is a of b, or less than 0 if there is no b.
func part(a, b int64) float64 {
	if b <= 0 {
		return -1
	}
	return float64(a) / float64(b)
}
