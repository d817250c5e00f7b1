package top

import (
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"quiesce/inspect"
)

// press sends keys to a model, and returns the command of the last.
func press(m *model, keys ...string) (c tea.Cmd) {
	for _, k := range keys {
		msg := tea.KeyPressMsg{Text: k, Code: []rune(k)[0]}
		switch k {
		case "ctrl+c":
			msg = tea.KeyPressMsg{Code: 'c', Mod: tea.ModCtrl}
		case "tab":
			msg = tea.KeyPressMsg{Code: tea.KeyTab}
		case "shift+tab":
			msg = tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
		case "space":
			msg = tea.KeyPressMsg{Code: tea.KeySpace, Text: " "}
		case "down":
			msg = tea.KeyPressMsg{Code: tea.KeyDown}
		}
		_, c = m.Update(msg)
	}
	return c
}

// process is what a model asks: it answers the next of its states, or an error.
type process struct {
	asked int
	down  bool
}

func (p *process) ask() answer {
	p.asked++
	at := time.Unix(int64(p.asked), 0)
	if p.down {
		return answer{err: errors.New("connection refused"), at: at}
	}
	return answer{state: state(float64(p.asked)), at: at}
}

// step runs what a model asked for, which must be an answer, and hands it over. It
// returns the command that waits for the next.
func step(t *testing.T, m *model, ask tea.Cmd) (wait tea.Cmd) {
	t.Helper()
	if ask == nil {
		t.Fatal("it does not ask")
	}
	a, ok := ask().(answer)
	if !ok {
		t.Fatalf("it asks for %T", a)
	}
	_, wait = m.Update(a)
	return wait
}

// ticked is the command that follows a tick that is due.
func ticked(m *model) tea.Cmd {
	_, c := m.Update(tick{m.generation})
	return c
}

func TestTheModelKeepsTrying(t *testing.T) {
	p := &process{down: true}
	m := newModel("host:1", time.Hour, p.ask)
	view := func(want ...string) {
		t.Helper()
		v := m.View()
		if !v.AltScreen {
			t.Error("not on the alternate screen")
		}
		has(t, v.Content, want...)
	}
	ask := m.Init()
	view("host:1", "waiting for an answer", "q quit")
	if step(t, m, ask) == nil {
		t.Error("it does not wait")
	}
	view("not there yet: connection refused")
	p.down = false
	step(t, m, ticked(m))
	view("1 caches (3)", "sessions")
	if v := m.View().Content; strings.Contains(v, "refused") {
		t.Error("it still complains")
	}
	p.down = true
	step(t, m, ticked(m))
	view("GONE for 1s, trying again: connection refused", "sessions")
	step(t, m, ticked(m))
	view("GONE for 2s")
	p.down = false
	step(t, m, ticked(m))
	if m.failed != "" || m.frame.IntervalS != 3 {
		t.Errorf("back again: %q, rates of %v s", m.failed, m.frame.IntervalS)
	}
}

// There is one request, or one tick that counts, at a time: whatever keys are
// pressed, requests don't add up.
func TestOneRequestAtATime(t *testing.T) {
	p := &process{}
	m := newModel("host:1", time.Hour, p.ask)
	ask := m.Init()
	if c := press(m, "+"); c != nil {
		t.Error("a tick while an answer is out")
	}
	if c := press(m, "space", "space"); c != nil {
		t.Error("a second request while an answer is out")
	}
	step(t, m, ask)
	stale := m.generation
	if press(m, "-") == nil {
		t.Error("no tick of the new interval")
	}
	if _, c := m.Update(tick{stale}); c != nil {
		t.Error("the tick of the former interval asks")
	}
	press(m, "space")
	if c := ticked(m); c != nil || !strings.Contains(m.View().Content, "paused") {
		t.Error("it asks while it is paused")
	}
	if c := press(m, "-"); c != nil {
		t.Error("a tick while it is paused")
	}
	step(t, m, press(m, "space"))
	if m.interval != time.Minute/2/2 { // of an hour, + is the most, and twice the half
		t.Errorf("interval %v", m.interval)
	}
	for range 20 {
		press(m, "-")
	}
	if m.interval != leastInterval {
		t.Errorf("interval %v", m.interval)
	}
}

func TestKeys(t *testing.T) {
	p := &process{}
	m := newModel("host:1", time.Second, p.ask)
	step(t, m, m.Init())
	m.Update(tea.WindowSizeMsg{Width: 80, Height: 11})
	chosen := func(title string) {
		t.Helper()
		if got := views[m.view].title; got != title {
			t.Errorf("view %s, want %s", got, title)
		}
	}
	chosen("caches")
	press(m, "tab")
	chosen("maps")
	press(m, "5")
	chosen("rcu")
	press(m, "tab")
	chosen("caches")
	press(m, "shift+tab")
	chosen("rcu")
	press(m, "3", "s", "r")
	if m.order != (order{1, true}) {
		t.Errorf("%+v", m.order)
	}
	press(m, "1")
	if m.order != (order{}) {
		t.Errorf("another view has the order of the last: %+v", m.order)
	}
	has(t, m.View().Content, "sessions", "thumbnails", "pages")
	press(m, "down")
	if v := m.View().Content; strings.Contains(v, "sessions") && m.scroll != 0 {
		t.Errorf("scrolled to %d:\n%s", m.scroll, v)
	}
	press(m, "k", "k", "k")
	if m.scroll != 0 {
		t.Errorf("scrolled to %d", m.scroll)
	}
	for _, k := range []string{"q", "ctrl+c"} {
		c := press(m, k)
		if c == nil {
			t.Fatalf("%s does nothing", k)
		}
		if _, ok := c().(tea.QuitMsg); !ok {
			t.Errorf("%s does not quit", k)
		}
	}
}

// The first view is one that has something, until a key chooses.
func TestTheFirstViewHasSomething(t *testing.T) {
	s := state(1)
	s.Caches, s.Maps = nil, nil
	m := newModel("host:1", time.Second, func() answer { return answer{state: s} })
	step(t, m, m.Init())
	if views[m.view].title != "slab caches" {
		t.Errorf("%s", views[m.view].title)
	}
	press(m, "1")
	step(t, m, ticked(m))
	if views[m.view].title != "caches" {
		t.Errorf("%s, after 1 was pressed", views[m.view].title)
	}
	has(t, m.View().Content, "There are none.")
	empty := newModel("host:1", time.Second, func() answer { return answer{state: &inspect.State{Time: time.Now()}} })
	step(t, empty, empty.Init())
	if views[empty.view].title != "rcu" {
		t.Errorf("%s, of a process with nothing", views[empty.view].title)
	}
}
