//go:build unix

package main

import (
	"bytes"
	"io"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/term"

	"quiesce/internal/testkit"
)

// recorder keeps what a terminal was sent.
type recorder struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (r *recorder) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.all.Write(b)
}

// after returns where a text ends that came after the first from bytes, or 0.
func (r *recorder) after(from int, text string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := bytes.Index(r.all.Bytes()[from:], []byte(text)); i >= 0 {
		return from + i + len(text)
	}
	return 0
}

// In a terminal it shows what the process does and says when it goes away and comes
// back. However it ends, the terminal is what it was.
func TestTopInATerminal(t *testing.T) {
	for _, c := range []struct {
		name   string
		end    func(keys *os.File, p *os.Process) error
		status int
	}{
		{"q", func(keys *os.File, _ *os.Process) error { _, err := keys.WriteString("q"); return err }, exitOK},
		{"Ctrl-C", func(keys *os.File, _ *os.Process) error { _, err := keys.WriteString("\x03"); return err }, exitOK},
		{"SIGTERM", func(_ *os.File, p *os.Process) error { return p.Signal(syscall.SIGTERM) }, exitInterrupted},
	} {
		t.Run(c.name, func(t *testing.T) {
			address, stop := serveProcess(t, "127.0.0.1:0", "squares")
			ptm, tty, err := pty.Open()
			if err != nil {
				t.Skip(err)
			}
			defer tty.Close()
			defer ptm.Close()
			if err := pty.Setsize(ptm, &pty.Winsize{Rows: 24, Cols: 80}); err != nil {
				t.Fatal(err)
			}
			before, err := term.GetState(int(tty.Fd()))
			if err != nil {
				t.Fatal(err)
			}
			var screen recorder
			go io.Copy(&screen, ptm)

			cmd := command("top", "-interval", "100ms", address)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.Env = append(os.Environ(), "TERM=xterm-256color")
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			defer cmd.Process.Kill()
			shows := func(from int, text string) (end int) {
				t.Helper()
				testkit.Eventually(t, 30*time.Second, text, func() bool {
					end = screen.after(from, text)
					return end > 0
				})
				return end
			}
			shows(0, "squares")
			stop()
			from := shows(0, "GONE")
			_, stop = serveProcess(t, address, "cubes")
			defer stop()
			shows(from, "cubes") // only what changes is sent
			if raw, err := term.GetState(int(tty.Fd())); err != nil || reflect.DeepEqual(raw, before) {
				t.Errorf("the terminal is not in raw mode (%v): this test proves nothing", err)
			}
			if err := c.end(ptm, cmd.Process); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if got := cmd.ProcessState.ExitCode(); got != c.status {
				t.Errorf("status %d, want %d", got, c.status)
			}
			after, err := term.GetState(int(tty.Fd()))
			if err != nil || !reflect.DeepEqual(after, before) {
				t.Errorf("the terminal was left as %+v, it was %+v (%v)", after, before, err)
			}
			shows(from, "\x1b[?1049l") // from the alternate screen
			shows(from, "\x1b[?25h")   // the cursor
		})
	}
}
