package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// render prints the table.
func render(w io.Writer, rep *Report) {
	fmt.Fprintln(w, strings.TrimSpace(text.WrapSoft(fmt.Sprintf("%s, %d CPUs, %s, %s; load averages at the start %s", rep.CPU, rep.CPUs, rep.OS, rep.Go, rep.Load), 80)))
	head := "Medians of " + plural(rep.Count, "round") + ", interleaved"
	if rep.Objects > 0 {
		head += "; " + thousands(rep.Objects) + " objects in the flood"
	}
	if rep.Quick {
		head += "; QUICK: rough figures"
	}
	if rep.Partial {
		head += "; PARTIAL: interrupted"
	}
	fmt.Fprintln(w, strings.TrimSpace(text.WrapSoft(head, 80)))

	printTable(w, rep.Groups)
	if len(rep.Skipped)+len(rep.Failed) > 0 {
		fmt.Fprintln(w)
	}
	for _, s := range rep.Skipped {
		fmt.Fprintf(w, "not measured: %s, %s\n", plural(len(s.Rows), "row"), s.why())
	}
	for _, f := range rep.Failed {
		fmt.Fprintf(w, "failed: %s\n", firstLine(f))
	}
}

// printTable prints the groups as one table of at most 80 columns: a row's
// notes are on a line of their own.
func printTable(w io.Writer, groups []Group) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	style := t.Style()
	style.Options = table.OptionsNoBordersAndSeparators
	style.Format.Header = text.FormatDefault
	style.Box.PaddingLeft, style.Box.PaddingRight = "", "  "
	var right []table.ColumnConfig
	for n := 2; n <= 5; n++ {
		right = append(right, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(right)
	t.AppendHeader(table.Row{"", "ns", "ratio", "CPU ns", "ratio"})
	for _, g := range groups {
		for _, r := range g.Rows {
			t.AppendRow(table.Row{"  " + r.Name, ns(r.NS), ratio(r.Ratio), ns(r.CPUNS), ratio(r.CPURatio)})
		}
	}
	lines := strings.Split(t.Render(), "\n")
	put := func(line string) { fmt.Fprintln(w, strings.TrimRight(line, " ")) }
	put(lines[0])
	at := 1
	for _, g := range groups {
		put("\n" + g.Title)
		for _, r := range g.Rows {
			put(lines[at])
			at++
			if note := notes(&r); note != "" {
				for _, line := range strings.Split(text.WrapSoft(note, 72), "\n") {
					put("      " + strings.TrimSpace(line))
				}
			}
		}
	}
}

// ratio has three digits or so, and a dash where there is none.
func ratio(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return thousands(int(v + 0.5))
	}
	return fmt.Sprintf("%.2f", v)
}

// notes says what else there is to a row.
func notes(r *Row) string {
	var notes []string
	switch {
	case r.Noisy && r.CPUNoisy:
		notes = append(notes, fmt.Sprintf("noisy: spread %.0f %%, CPU %.0f %%", r.Spread, r.CPUSpread))
	case r.Noisy:
		notes = append(notes, fmt.Sprintf("noisy (wall): spread %.0f %%", r.Spread))
	case r.CPUNoisy:
		notes = append(notes, fmt.Sprintf("noisy (CPU): spread %.0f %%", r.CPUSpread))
	}
	f := r.Figures
	if e, ok := f["enqueue"]; ok {
		notes = append(notes, fmt.Sprintf("enqueue %s, reclaim %s, next owner's first write %s", ns(e), ns(f["reclaim"]), ns(f["write"])))
	}
	if mb := f["peak_mb"]; mb >= 1 {
		notes = append(notes, fmt.Sprintf("+%.0f MB", mb))
	}
	if p := f["fallback_percent"]; p >= 0.1 {
		notes = append(notes, fmt.Sprintf("%.1f %% without an array", p))
	}
	if p, ok := f["together_percent"]; ok && p < enoughPercent {
		notes = append(notes, "threads took turns, so there is little contention in it")
	}
	return strings.Join(notes, "; ")
}

// ns is a time with three digits, or all that are before the point.
func ns(v float64) string {
	switch {
	case v >= 100:
		return thousands(int(v + 0.5))
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return thousands(n/1000) + fmt.Sprintf(",%03d", n%1000)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// progress shows how far the command is: one line that changes on a terminal,
// a line now and then elsewhere.
type progress struct {
	w           io.Writer
	terminal    bool
	done, total int
	start, last time.Time
}

const plainEvery = 5 * time.Second // between two lines where there is no terminal

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" {
			p.terminal = true
		}
	}
	return p
}

func (p *progress) row(name string) {
	text := fmt.Sprintf("%d of %d: %s", p.done+1, p.total, name)
	if p.done == 0 {
		p.start = time.Now()
	} else if took := time.Since(p.start); took > time.Second {
		left := took / time.Duration(p.done) * time.Duration(p.total-p.done)
		text = fmt.Sprintf("%d of %d, %v left: %s", p.done+1, p.total, left.Round(time.Second), name)
	}
	p.done++
	p.say(text)
}

func (p *progress) say(text string) {
	if p.terminal {
		if r := []rune(text); len(r) > 70 {
			text = string(r[:70])
		}
		fmt.Fprintf(p.w, "\rpeers: %s\x1b[K", text)
	} else if time.Since(p.last) >= plainEvery {
		p.last = time.Now()
		fmt.Fprintf(p.w, "peers: %s\n", text)
	}
}

// line is one that stays.
func (p *progress) line(text string) {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "peers: %s\n", text)
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
