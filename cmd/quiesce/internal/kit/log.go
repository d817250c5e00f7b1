package kit

import (
	"bytes"
	"strings"
	"sync"
)

// Log keeps the beginning and the end of what is written to it.
type Log struct {
	mu   sync.Mutex
	head []byte
	last []byte

	// fatal is called when the runtime says that it ends the program.
	fatal func()
}

const logBytes = 32 << 10 // of each

func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(b)
	if l.fatal != nil && bytes.Contains(b, []byte("fatal error: ")) {
		l.fatal()
		l.fatal = nil
	}
	k := min(logBytes-len(l.head), n)
	l.head = append(l.head, b[:k]...)
	l.last = append(l.last, b[k:]...)
	if over := len(l.last) - logBytes; over > 0 {
		l.last = append(l.last[:0], l.last[over:]...)
	}
	return n, nil
}

func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.last) == logBytes {
		return string(l.head) + "\n...\n" + string(l.last)
	}
	return string(l.head) + string(l.last)
}

// First returns the first line.
func (l *Log) First() string {
	line, _, _ := strings.Cut(strings.TrimSpace(l.String()), "\n")
	return line
}

// Last returns the last line.
func (l *Log) Last() string {
	s := strings.TrimSpace(l.String())
	return s[strings.LastIndexByte(s, '\n')+1:]
}

// Cause returns the line that says what ended a Go program: its panic or fatal
// error, without that word. It is empty if there is none.
func (l *Log) Cause() string {
	for line := range strings.Lines(l.String()) {
		line = strings.TrimSpace(line)
		for _, p := range []string{"fatal error: ", "panic: "} {
			if rest, ok := strings.CutPrefix(line, p); ok {
				return rest
			}
		}
	}
	return ""
}
