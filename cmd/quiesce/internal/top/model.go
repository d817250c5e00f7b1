package top

import (
	"context"
	"errors"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"quiesce/inspect"
)

// The bounds of an interval.
const (
	leastInterval = 100 * time.Millisecond
	mostInterval  = time.Minute
)

// coloured is the style of a terminal.
var coloured = style{
	title:  paint(lipgloss.NewStyle().Bold(true)),
	head:   paint(lipgloss.NewStyle().Underline(true)),
	chosen: paint(lipgloss.NewStyle().Reverse(true)),
	alarm:  paint(lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red)),
	faint:  paint(lipgloss.NewStyle().Faint(true)),
}

func paint(s lipgloss.Style) func(string) string {
	return func(text string) string { return s.Render(text) }
}

// answer is what a Source said.
type answer struct {
	state *inspect.State
	err   error
	at    time.Time
}

// tick asks for the next answer. Of an interval that was changed since, it is stale.
type tick struct{ generation int }

// model is the screen, and what changes it. At any time one answer is being waited
// for (asking), or one tick that is not stale, or the screen is paused.
type model struct {
	screen
	ask           func() answer
	width, height int
	last          *inspect.State
	lastAt        time.Time
	asking        bool
	generation    int
	chosen        bool // the view, by a key
}

func newModel(page string, interval time.Duration, ask func() answer) *model {
	return &model{screen: screen{source: page, interval: interval}, ask: ask, width: 80, height: 24}
}

// Init asks for the first answer.
func (m *model) Init() tea.Cmd { return m.next() }

func (m *model) next() tea.Cmd {
	if m.asking {
		return nil
	}
	m.asking = true
	return func() tea.Msg { return m.ask() }
}

// wait asks for a tick.
func (m *model) wait() tea.Cmd {
	m.generation++
	if m.paused || m.asking {
		return nil
	}
	g := m.generation
	return tea.Tick(m.interval, func(time.Time) tea.Msg { return tick{g} })
}

// Update changes the screen.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case tick:
		if msg.generation == m.generation && !m.paused {
			return m, m.next()
		}
	case answer:
		m.asking = false
		m.take(msg)
		return m, m.wait()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// take shows an answer. Where there is none the last one stays.
func (m *model) take(a answer) {
	if a.err != nil {
		m.failed, m.since = a.err.Error(), a.at.Sub(m.lastAt)
		return
	}
	m.failed = ""
	m.frame = newFrame(m.source, m.last, a.state)
	m.last, m.lastAt = a.state, a.at
	if !m.chosen && views[m.view].count(m.frame) == 0 { // something is better than nothing
		for i, v := range views {
			if v.count(m.frame) != 0 {
				m.view = i
				break
			}
		}
	}
}

func (m *model) key(key string) tea.Cmd {
	page := max(m.height-9, 1)
	switch key {
	case "q", "ctrl+c", "esc":
		return tea.Quit
	case "ctrl+z":
		return tea.Suspend
	case "1", "2", "3", "4", "5":
		m.show(int(key[0] - '1'))
	case "tab", "right", "l":
		m.show(m.view + 1)
	case "shift+tab", "left", "h":
		m.show(m.view + len(views) - 1)
	case "s":
		m.order.column++
	case "r":
		m.order.reverse = !m.order.reverse
	case "up", "k":
		m.scroll--
	case "down", "j":
		m.scroll++
	case "pgup":
		m.scroll -= page
	case "pgdown":
		m.scroll += page
	case "home", "g":
		m.scroll = 0
	case "end", "G":
		m.scroll = 1 << 30 // the screen knows how many there are
	case "space", "p":
		m.paused = !m.paused
		if !m.paused {
			m.generation++
			return m.next()
		}
	case "+", "=":
		m.interval = min(m.interval*2, mostInterval)
		return m.wait()
	case "-":
		m.interval = max(m.interval/2, leastInterval)
		return m.wait()
	}
	m.scroll = max(m.scroll, 0)
	return nil
}

func (m *model) show(view int) {
	m.view, m.order, m.scroll, m.chosen = view%len(views), order{}, 0, true
}

// View is the whole screen.
func (m *model) View() tea.View {
	v := tea.NewView(m.live(m.width, m.height, coloured))
	v.AltScreen = true
	return v
}

// Live shows a process until q is pressed or ctx ends. Input and output are a
// terminal.
func Live(ctx context.Context, s *Source, interval time.Duration, in io.Reader, out io.Writer) error {
	ask := func() answer {
		state, err := s.Read(ctx)
		return answer{state, err, time.Now()}
	}
	_, err := tea.NewProgram(newModel(s.Page, interval, ask),
		tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler()).Run()
	if ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return context.Canceled
	}
	return err
}

// Once returns what a process does in an interval.
func Once(ctx context.Context, s *Source, interval time.Duration) (*Frame, error) {
	before, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	select {
	case <-time.After(interval):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now, err := s.Read(ctx)
	if err != nil {
		return nil, err
	}
	return newFrame(s.Page, before, now), nil
}

// CheckInterval returns an error for an interval that is too short or too long.
func CheckInterval(d time.Duration) error {
	if d < leastInterval || d > mostInterval {
		return errors.New("want a time from 100ms to 1m")
	}
	return nil
}
