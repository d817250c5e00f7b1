package harness

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Progress shows how far the command is: one line that changes on a terminal,
// a line now and then elsewhere.
type Progress struct {
	Total int // rows

	name        string
	w           io.Writer
	terminal    bool
	done        int
	start, last time.Time
}

const plainEvery = 5 * time.Second // between two lines where there is no terminal

// NewProgress shows on w the progress of the command with this name.
func NewProgress(name string, w io.Writer) *Progress {
	p := &Progress{name: name, w: w, start: time.Now()}
	if f, ok := w.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" {
			p.terminal = true
		}
	}
	return p
}

// Row begins the next row.
func (p *Progress) Row(name string) {
	text := fmt.Sprintf("%d of %d: %s", p.done+1, p.Total, name)
	if p.done == 0 {
		p.start = time.Now()
	} else if took := time.Since(p.start); took > time.Second {
		left := took / time.Duration(p.done) * time.Duration(p.Total-p.done)
		text = fmt.Sprintf("%d of %d, %v left: %s", p.done+1, p.Total, left.Round(time.Second), name)
	}
	p.done++
	p.Say(text)
}

// Say shows what the command does.
func (p *Progress) Say(text string) {
	if p.terminal {
		if r := []rune(text); len(r) > 70 {
			text = string(r[:70])
		}
		fmt.Fprintf(p.w, "\r%s: %s\x1b[K", p.name, text)
	} else if time.Since(p.last) >= plainEvery {
		p.last = time.Now()
		fmt.Fprintf(p.w, "%s: %s\n", p.name, text)
	}
}

// Line is one that stays.
func (p *Progress) Line(text string) {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	fmt.Fprintf(p.w, "%s: %s\n", p.name, text)
}

// End clears the line that changes.
func (p *Progress) End() {
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
