package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-runewidth"
	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"quiesce/cmd/quiesce/internal/kit"
)

// display shows how far a job is: on a terminal a bar, or a line that changes,
// elsewhere a line for every phase and every few seconds.
type display struct {
	w      io.Writer
	called string // the command
	width  int    // of the terminal; 0: there is none
	shown  bool
	phase  string
	bar    *progressbar.ProgressBar
	last   time.Time
}

const (
	plainEvery = 5 * time.Second // between two lines where there is no terminal
	barWidth   = 12
	barRest    = 10 // what else the bar writes before the text
)

func newDisplay(w io.Writer, called string) *display {
	return &display{w: w, called: called, width: columns(w)}
}

// columns is the width of a terminal, or 0 if w is none.
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

const clearLine = "\r\x1b[2K"

// step shows a step.
func (d *display) step(s kit.Step) {
	begins := !d.shown || s.Phase != d.phase
	if d.width == 0 {
		if s.Text == "" {
			return
		}
		if begins || time.Since(d.last) >= plainEvery {
			d.last = time.Now()
			fmt.Fprintf(d.w, "%s: %s\n", d.called, s.Text)
		}
		d.shown, d.phase = true, s.Phase
		return
	}
	if begins {
		d.clear()
	}
	d.shown, d.phase = true, s.Phase
	if s.Total <= 0 {
		fmt.Fprint(d.w, clearLine, runewidth.Truncate(s.Text, d.width-1, "…"))
		return
	}
	if d.bar == nil {
		d.bar = progressbar.NewOptions(s.Total,
			progressbar.OptionSetWriter(d.w),
			progressbar.OptionSetWidth(barWidth),
			progressbar.OptionSetPredictTime(false),
			progressbar.OptionSetElapsedTime(false),
			progressbar.OptionShowDescriptionAtLineEnd(),
		)
	}
	d.bar.Describe(runewidth.Truncate(s.Text, max(d.width-barWidth-barRest, 1), "…"))
	if s.Done < s.Total { // a full bar is the phase's end, which clear shows
		d.bar.Set(s.Done)
	}
}

func (d *display) clear() {
	if d.width > 0 && d.shown {
		fmt.Fprint(d.w, clearLine)
	}
	d.bar = nil
}

// end takes the display away.
func (d *display) end() { d.clear() }
