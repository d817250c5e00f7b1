package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// render prints the table.
func render(w io.Writer, rep *Report) {
	fmt.Fprintf(w, "%s, %d CPUs, %s, %s; load averages at the start %s\n", rep.CPU, rep.CPUs, rep.OS, rep.Go, rep.Load)
	fmt.Fprintf(w, "Medians of %s, interleaved", plural(rep.Count, "round"))
	if rep.Objects > 0 {
		fmt.Fprintf(w, "; %s objects in the flood", thousands(rep.Objects))
	}
	if rep.Quick {
		fmt.Fprint(w, "; QUICK: rough figures")
	}
	if rep.Partial {
		fmt.Fprint(w, "; PARTIAL: interrupted")
	}
	fmt.Fprintln(w)

	lines := [][]string{{"", "ns", "ratio", "spread", "CPU ns", "ratio", "spread", ""}}
	for _, g := range rep.Groups {
		lines = append(lines, nil, []string{g.Title})
		for _, r := range g.Rows {
			lines = append(lines, cells(&r))
		}
	}
	align(w, lines)
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

// cells are a row's.
func cells(r *Row) []string {
	ratio := func(v float64) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", v)
	}
	spread := func(v float64) string {
		if len(r.Rounds) < 2 {
			return "-"
		}
		return fmt.Sprintf("%.0f %%", v)
	}
	var notes []string
	switch {
	case r.Noisy && r.CPUNoisy:
		notes = append(notes, "noisy")
	case r.Noisy:
		notes = append(notes, "noisy (wall)")
	case r.CPUNoisy:
		notes = append(notes, "noisy (CPU)")
	}
	f := r.Figures
	if e, ok := f["enqueue"]; ok {
		notes = append(notes, fmt.Sprintf("enqueue %s, reclaim %s; next owner's first write %s", ns(e), ns(f["reclaim"]), ns(f["write"])))
	}
	if mb := f["peak_mb"]; mb >= 1 {
		notes = append(notes, fmt.Sprintf("+%.0f MB", mb))
	}
	if p := f["fallback_percent"]; p >= 0.1 {
		notes = append(notes, fmt.Sprintf("%.1f %% without an array", p))
	}
	if p, ok := f["together_percent"]; ok && p < enoughPercent {
		notes = append(notes, "threads took turns, little contention in it")
	}
	return []string{"  " + r.Name, ns(r.NS), ratio(r.Ratio), spread(r.Spread),
		ns(r.CPUNS), ratio(r.CPURatio), spread(r.CPUSpread), strings.Join(notes, "; ")}
}

// ns is a time with three digits, or all that stand before the point.
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

// align prints lines of cells: the first and the last column on the left, the
// others on the right. A line of one cell takes no part.
func align(w io.Writer, lines [][]string) {
	var width []int
	for _, l := range lines {
		for i, c := range l {
			if i == len(width) {
				width = append(width, 0)
			}
			if len(l) > 1 {
				width[i] = max(width[i], utf8.RuneCountInString(c))
			}
		}
	}
	for _, l := range lines {
		var b strings.Builder
		for i, c := range l {
			pad := ""
			if len(l) > 1 {
				pad = strings.Repeat(" ", width[i]-utf8.RuneCountInString(c))
			}
			switch i {
			case 0:
				b.WriteString(c + pad)
			case len(l) - 1:
				b.WriteString("  " + c)
			default:
				b.WriteString("  " + pad + c)
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
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
