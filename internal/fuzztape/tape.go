// Package fuzztape turns the bytes that a fuzzer makes up into operations. A
// tape written by hand is readable text: an operation is its letter, an argument
// n is the character '0'+n, and white space between operations is skipped. Any
// other bytes are a valid tape too.
package fuzztape

import (
	"iter"
	"strings"
)

// Tape is what has not been read yet.
type Tape struct{ rest []byte }

// New makes a tape of at most limit bytes.
func New(b []byte, limit int) *Tape { return &Tape{b[:min(len(b), limit)]} }

// Op reads the next operation, one of the letters; false at the end.
func (t *Tape) Op(letters string) (op byte, ok bool) {
	for len(t.rest) > 0 {
		b := t.rest[0]
		t.rest = t.rest[1:]
		switch {
		case b == ' ' || b == '\n':
		case strings.IndexByte(letters, b) >= 0:
			return b, true
		default:
			return letters[int(b)%len(letters)], true
		}
	}
	return 0, false
}

// Ops yields the operations that are left.
func (t *Tape) Ops(letters string) iter.Seq[byte] {
	return func(yield func(byte) bool) {
		for {
			if op, ok := t.Op(letters); !ok || !yield(op) {
				return
			}
		}
	}
}

// Arg reads an argument, 0 to n-1; 0 at the end of the tape, or if n is 0.
func (t *Tape) Arg(n int) int {
	if len(t.rest) == 0 || n <= 0 {
		return 0
	}
	b := t.rest[0] - '0'
	t.rest = t.rest[1:]
	return int(b) % n
}
