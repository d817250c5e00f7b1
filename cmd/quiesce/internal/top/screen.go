package top

import (
	"fmt"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"

	"quiesce/cmd/quiesce/internal/kit"
)

// style says how parts of the screen look. All of them keep the width.
type style struct{ title, head, chosen, alarm, faint func(string) string }

func asIs(s string) string { return s }

// plain is the style of what is no terminal.
var plain = style{asIs, asIs, asIs, asIs, asIs}

// screen is what is shown, and how.
type screen struct {
	source   string
	frame    *Frame // nil: there is none yet
	failed   string // why the last attempt to read failed; ""
	since    time.Duration
	interval time.Duration
	paused   bool
	view     int
	order    order
	scroll   int
}

// summary returns the lines that every view has at its top. None is wider than the
// screen.
func (s *screen) summary(width int, st style) (lines []string) {
	add := func(paint func(string) string, format string, args ...any) {
		lines = append(lines, paint(runewidth.Truncate(fmt.Sprintf(format, args...), width, "…")))
	}
	f := s.frame
	if f == nil {
		add(st.title, "quiesce top  %s", s.source)
	} else {
		clock := f.Time.Local().Format("15:04:05")
		left := fmt.Sprintf("quiesce top  %s  %s, %d Ps, %s goroutines",
			s.source, clean(f.Process.GoVersion), f.Process.GOMAXPROCS, kit.Count(f.Process.Goroutines))
		left = runewidth.Truncate(left, max(width-len(clock)-2, 1), "…")
		add(st.title, "%s%*s", left, max(width-runewidth.StringWidth(left), 0), clock)
	}
	switch {
	case s.failed != "" && f == nil:
		add(st.alarm, "not there yet: %s", s.failed)
	case s.failed != "":
		add(st.alarm, "GONE for %v, trying again: %s", s.since.Round(time.Second), s.failed)
	case f == nil:
		add(asIs, "waiting for an answer")
	case f.RCU.Stall != "":
		add(st.alarm, "STALL: %s has held up the grace period for %v", clean(f.RCU.Stall), time.Duration(f.RCU.StallNS).Round(time.Millisecond))
	case s.paused:
		add(st.alarm, "paused")
	}
	if f == nil {
		return lines
	}
	add(asIs, "off-heap  %s", f.offHeap())
	goLimit := "no GOMEMLIMIT"
	if f.Process.GoMemLimit > 0 {
		goLimit = "GOMEMLIMIT " + size(float64(f.Process.GoMemLimit))
	}
	add(asIs, "Go        %s, objects %s, %s, %s GC/s",
		size(float64(f.Process.GoBytes)), size(float64(f.Process.GoHeapBytes)), goLimit, perSecond(f.GCsPerS))
	waits := ""
	if f.RCU.WaitsFor != "" {
		waits = "; waits for " + clean(f.RCU.WaitsFor)
	}
	r := f.RCU.Readers
	add(asIs, "RCU       %s grace periods/s, readers %d, callbacks waiting %s%s",
		perSecond(f.RCU.GracePeriodsPerS), r.Preemptible+r.Pinned+r.InSection, kit.Count(f.RCU.CallbacksWaiting), waits)
	return lines
}

// offHeap sums up the allocators: against their limits, if all of them have one.
func (f *Frame) offHeap() string {
	m := f.Memory
	limited := len(f.Allocators) > 0
	for _, a := range f.Allocators {
		limited = limited && a.Limit > 0
	}
	out := size(float64(m.Resident))
	if limited {
		const cells = 10
		full := part(m.Resident, m.Limit)
		n := min(max(int(full*cells+0.5), 0), cells)
		out += fmt.Sprintf(" of %s [%s%s] %s %%", size(float64(m.Limit)), strings.Repeat("#", n), strings.Repeat("-", cells-n), percent(full))
	}
	return out + fmt.Sprintf("  live %s, deferred %s", size(float64(m.Live)), size(float64(m.Deferred)))
}

// tabs is the line of the views.
func (s *screen) tabs(width int, st style) string {
	var b strings.Builder
	for i, v := range views {
		label := fmt.Sprintf("%d %s", i+1, v.title)
		if n := v.count(s.frame); n >= 0 {
			label += fmt.Sprintf(" (%d)", n)
		}
		label = " " + label + " "
		if i == s.view {
			label = "[" + label[1:len(label)-1] + "]"
		}
		if width -= len(label); width < 0 {
			break
		}
		if i == s.view {
			label = st.chosen(label)
		}
		b.WriteString(label)
	}
	return b.String()
}

// help is the last line: the keys.
func (s *screen) help(by string, width int) string {
	keys := "q quit  1-5 view"
	if by != "" {
		keys += "  s sort (" + by + ")  r reverse"
	}
	pause := "pause"
	if s.paused {
		pause = "go on"
	}
	keys += "  ↑↓ scroll  space " + pause + "  +- " + s.interval.String()
	return runewidth.Truncate(keys, width, "…")
}

// live is the screen as height lines of at most width columns.
func (s *screen) live(width, height int, st style) string {
	lines := s.summary(width, st)
	var shown text
	if s.frame != nil {
		shown = views[s.view].show(s.frame, width, s.order)
		lines = append(lines, "", s.tabs(width, st))
		if shown.head != "" {
			lines = append(lines, st.head(shown.head))
		}
		rows := max(height-len(lines)-1, 0)
		s.scroll = max(min(s.scroll, len(shown.lines)-rows), 0)
		if len(shown.lines) == 0 {
			shown.lines = []string{"There are none."}
		}
		for _, l := range shown.lines[s.scroll:min(s.scroll+rows, len(shown.lines))] {
			lines = append(lines, runewidth.Truncate(l, width, "…"))
		}
	}
	lines = lines[:min(len(lines), max(height-1, 0))]
	for len(lines) < height-1 {
		lines = append(lines, "")
	}
	return strings.Join(append(lines, st.faint(s.help(shown.by, width))), "\n")
}

// Print returns a Frame as text without control characters: the summary, and each
// kind of object that there is.
func (f *Frame) Print(width int) string {
	s := screen{source: f.Page, frame: f}
	lines := s.summary(width, plain)
	for _, v := range views {
		shown := v.show(f, width, order{})
		if len(shown.lines) == 0 {
			continue
		}
		lines = append(lines, "")
		if shown.head != "" {
			lines = append(lines, shown.head)
		}
		lines = append(lines, shown.lines...)
	}
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(strings.TrimRight(runewidth.Truncate(l, width, "…"), " ") + "\n")
	}
	return b.String()
}
