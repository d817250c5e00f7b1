package kit

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// TextWidth is how many columns the output for people takes at most.
const TextWidth = 80

// Wrap breaks s into lines of [TextWidth]. The first is indented by indent
// columns, the others by two more.
func Wrap(indent int, s string) string {
	var b strings.Builder
	for i, l := range strings.Split(strings.TrimSpace(text.WrapSoft(s, TextWidth-indent-2)), "\n") {
		fmt.Fprintf(&b, "%*s%s\n", indent+2*min(i, 1), "", strings.TrimSpace(l))
	}
	return b.String()
}

// Table is a table without vertical rules, whose columns move together where
// it would be wider than [TextWidth].
type Table struct {
	w       table.Writer
	columns []table.ColumnConfig
}

// NewTable makes a table whose columns from the given one on, counted from 1,
// are numbers.
func NewTable(from int, header ...any) *Table {
	t := &Table{w: table.NewWriter()}
	t.w.SetStyle(table.StyleLight)
	style := t.w.Style()
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder, style.Options.SeparateColumns = false, false
	style.Box.PaddingLeft = ""
	for n := 1; n <= len(header); n++ {
		c := table.ColumnConfig{Number: n}
		if n >= from {
			c.Align, c.AlignHeader = text.AlignRight, text.AlignRight
		}
		t.columns = append(t.columns, c)
	}
	t.w.AppendHeader(header)
	return t
}

// Text makes a column one of text, which is broken into lines of width.
func (t *Table) Text(column, width int) *Table {
	t.columns[column-1] = table.ColumnConfig{Number: column, WidthMax: width, WidthMaxEnforcer: wrapLines}
	return t
}

// wrapLines breaks each line of s by itself.
func wrapLines(s string, width int) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = text.WrapSoft(l, width)
	}
	return strings.Join(lines, "\n")
}

// Row adds a row.
func (t *Table) Row(cells ...any) { t.w.AppendRow(cells) }

// Section begins a group of rows under a heading.
func (t *Table) Section(name string) {
	t.Separator()
	t.Row(text.Bold.Sprint(name))
}

// Separator adds a rule.
func (t *Table) Separator() { t.w.AppendSeparator() }

// Len returns the number of rows.
func (t *Table) Len() int { return t.w.Length() }

// String returns the table's lines.
func (t *Table) String() string {
	t.w.SetColumnConfigs(t.columns)
	var lines []string
	for _, gap := range []string{"  ", " "} {
		t.w.Style().Box.PaddingRight = gap
		widest := 0
		lines = lines[:0]
		for line := range strings.Lines(t.w.Render()) {
			lines = append(lines, strings.TrimRight(line, " \n"))
			if !strings.HasPrefix(line, "─") { // the rule has the last gap too
				widest = max(widest, text.StringWidthWithoutEscSequences(lines[len(lines)-1]))
			}
		}
		if widest <= TextWidth {
			break
		}
	}
	for i, line := range lines {
		if strings.HasPrefix(line, "─") {
			r := []rune(line)
			lines[i] = string(r[:min(len(r), TextWidth)])
		}
	}
	return strings.Join(lines, "\n")
}
