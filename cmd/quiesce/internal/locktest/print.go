package locktest

import (
	"fmt"
	"io"
	"strings"
)

// A table is at most width columns wide, its rows' names as wide as nameWidth
// if its columns leave room for that.
const (
	width     = 80
	cellWidth = 8
	nameWidth = 37
)

// Print writes the tables in the kernel's shape. texts: with every report.
func (rep *Report) Print(w io.Writer, texts bool) {
	about := "lockdep at run time"
	if rep.Tagged {
		about = "-tags lockdep"
	}
	fmt.Fprintf(w, "Locking API testsuite: %s\n  preempt_rt=%d, prove_raw_lock_nesting=%d\n", about, bit(rep.PreemptRT), bit(rep.ProveRawLockNesting))
	fmt.Fprintf(w, "  ok: silence, as expected    ! ok: the expected report    FAILED: neither")
	if rep.Unseen > 0 {
		fmt.Fprintf(w, "\n  tag: takes a build with -tags lockdep")
	}
	fmt.Fprintln(w)
	for _, s := range rep.Sections {
		s.print(w, texts)
	}
	for _, s := range rep.Sections {
		for _, r := range s.Rows {
			for _, c := range r.Cells {
				if !c.Pass && !c.Unseen {
					c.explain(w, s.Title, r.Name)
				}
			}
		}
	}
	fmt.Fprintln(w, strings.Repeat("-", 57))
	if rep.Unseen > 0 {
		fmt.Fprintf(w, "%d of %d testcases take a build with -tags lockdep:\n  go run -tags lockdep ./cmd/quiesce locktest\n", rep.Unseen, rep.Testcases)
	}
	ran := rep.Testcases - rep.Unseen
	switch {
	case rep.Failed > 0:
		fmt.Fprintf(w, "FAILED: %d of %d testcases failed\n", rep.Failed, ran)
	case rep.Partial:
		fmt.Fprintf(w, "PARTIAL: interrupted; the first %d testcases passed\n", ran)
	default:
		fmt.Fprintf(w, "All %d testcases passed\n", ran)
	}
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (s *SectionReport) print(w io.Writer, texts bool) {
	title := "| " + s.Title + " |"
	names := min(nameWidth, width-2-cellWidth*len(s.Columns))
	rule := strings.Repeat("-", names+2+cellWidth*len(s.Columns))
	fmt.Fprintf(w, "\n  %s\n  %s\n  %s\n%*s |", strings.Repeat("-", len(title)), title, strings.Repeat("-", len(title)), names, "")
	for _, c := range s.Columns {
		fmt.Fprintf(w, "%s|", center(c, cellWidth-1))
	}
	fmt.Fprintf(w, "\n%s\n", rule)
	for _, r := range s.Rows {
		fmt.Fprintf(w, "%*s:|", names, r.Name)
		cells := r.Cells
		for _, column := range s.Columns {
			text := ""
			if len(cells) > 0 && cells[0].Column == column {
				text, cells = cells[0].mark(), cells[1:]
			}
			fmt.Fprintf(w, "%-*s|", cellWidth-1, text)
		}
		fmt.Fprintln(w)
		for _, c := range r.Cells {
			for _, t := range c.Texts {
				if texts {
					fmt.Fprintf(w, "\n%s, %s:\n%s\n\n", r.Name, c.Column, strings.TrimSpace(t))
				}
			}
		}
	}
}

// mark is what a cell shows.
func (c *Cell) mark() string {
	switch {
	case c.Unseen:
		return "  tag"
	case !c.Pass:
		return "FAILED"
	case c.Expected == Reported:
		return "! ok"
	}
	return "  ok"
}

func (c *Cell) explain(w io.Writer, section, row string) {
	say := func(verdict string, kinds []string) string {
		if verdict == Silent {
			return "silence"
		}
		return strings.Join(kinds, ", ")
	}
	fmt.Fprintf(w, "\nFAILED: %s: %s, %s\n  expected: %s\n  observed: %s\n", section, row, c.Column,
		say(c.Expected, []string{c.Kind}), say(c.Observed, c.Reports))
	if c.Panic != "" {
		fmt.Fprintf(w, "  panic:    %s\n", c.Panic)
	}
}

func center(s string, width int) string {
	left := (width - len(s)) / 2
	return fmt.Sprintf("%*s%-*s", left, "", width-left, s)
}
