package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"quiesce/cmd/quiesce/internal/demo"
)

// display shows how far the demo is: a bar on a terminal, a line now and then
// elsewhere.
type display struct {
	w     io.Writer
	width int // of the terminal; 0: none
	dir   string
	phase demo.Phase
	bar   *progressbar.ProgressBar
	last  time.Time
}

const plainEvery = 5 * time.Second // between two lines where there is no terminal

func newDisplay(w io.Writer, cfg demo.Config) *display {
	return &display{w: w, dir: cfg.Dir, width: columns(w)}
}

// columns is the width of a terminal; 0 says that w is none.
func columns(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return 0
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return 80
}

func (d *display) tell(s demo.Status) {
	begins := s.Phase != d.phase
	if begins {
		d.clear()
		d.phase = s.Phase
	}
	if d.width > 0 {
		d.terminal(s, begins)
		return
	}
	if begins || time.Since(d.last) >= plainEvery {
		d.last = time.Now()
		if t := line(s, d.dir); t != "" {
			fmt.Fprintln(d.w, "quiesce demo:", t)
		}
	}
}

// line is a status in words.
func line(s demo.Status, dir string) string {
	switch s.Phase {
	case demo.Walk:
		return fmt.Sprintf("looking for files in %s: %s", dir, humanize.Comma(int64(s.Done)))
	case demo.Load:
		return fmt.Sprintf("loading %s files of %s", outOf(s), dir)
	case demo.Exec:
		return fmt.Sprintf("running, %s of %v: %s", seconds(s.Elapsed), s.Duration, rates(s))
	case demo.Close:
		return "closing"
	case demo.Flood:
		return fmt.Sprintf("cold flood, step %s", outOf(s))
	}
	return ""
}

func outOf(s demo.Status) string {
	return humanize.Comma(int64(s.Done)) + " of " + humanize.Comma(int64(s.Total))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func rates(s demo.Status) string {
	return fmt.Sprintf("%s lookups/s, %s replacements/s", si(s.LookupsPerS), si(s.ReplacementsPerS))
}

// si is a rate with three digits: 8.99 M.
func si(v float64) string {
	v, prefix := humanize.ComputeSI(v)
	digits := 2
	if v >= 100 {
		digits = 0
	} else if v >= 10 {
		digits = 1
	}
	if prefix == "" {
		return fmt.Sprintf("%.*f", digits, v)
	}
	return fmt.Sprintf("%.*f %s", digits, v, prefix)
}

const clearLine = "\x1b[2K"

// terminal draws a bar that is cleared when its phase ends.
func (d *display) terminal(s demo.Status, begins bool) {
	done, total, words := s.Done, s.Total, ""
	switch s.Phase {
	case demo.Walk: // how many there are is not known: no bar
		fmt.Fprintf(d.w, "\r%s looking for files: %s", clearLine, humanize.Comma(int64(s.Done)))
		return
	case demo.Load:
		words = "loading " + outOf(s)
	case demo.Exec:
		done, total = int(s.Elapsed/time.Millisecond), max(int(s.Duration/time.Millisecond), 1)
		done = min(done, total)
		words = seconds(s.Elapsed) + "  " + rates(s)
		if d.width >= 110 {
			words += "  " + s.Note
		}
	case demo.Flood:
		words = "cold flood " + outOf(s)
	default:
		return
	}
	if begins || d.bar == nil {
		d.bar = progressbar.NewOptions(total,
			progressbar.OptionSetWriter(d.w),
			progressbar.OptionSetWidth(12),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
		)
	}
	d.bar.Describe(words)
	if done < total { // a full bar is the phase's end, which clear shows
		d.bar.Set(done)
	}
}

func (d *display) clear() {
	if d.width > 0 && d.phase != "" {
		fmt.Fprint(d.w, "\r"+clearLine)
	}
	d.bar = nil
}

// end takes the display away.
func (d *display) end(interrupted bool) {
	d.clear()
	if interrupted {
		fmt.Fprintln(d.w, "quiesce demo: interrupted")
	}
}
