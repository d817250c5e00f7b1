package testkit

import (
	"bytes"
	"runtime"
	"sync"
)

// Flag is a signal between goroutines that the race detector does not see.
type Flag struct{ n int }

// Get returns how often the flag was raised.
//
//go:norace
//go:noinline
func (f *Flag) Get() int { return f.n }

// Raise raises the flag once more.
//
//go:norace
//go:noinline
func (f *Flag) Raise() { f.n++ }

// Await waits until the flag was raised n times. It is uninstrumented too: an
// instrumented loop would push out of the detector's memory what it needs to
// report the access before the signal.
//
//go:norace
func (f *Flag) Await(n int) {
	for f.Get() < n {
		runtime.Gosched()
	}
}

// Backlog keeps the store buffer of a processor busy: stores to lines that are
// in no cache. What is stored after them becomes visible some hundred
// nanoseconds later, while loads are still served.
type Backlog struct {
	lines []byte
	at    int
}

// NewBacklog returns a backlog of 64 MiB.
func NewBacklog() *Backlog { return &Backlog{lines: make([]byte, 64<<20)} }

// Store fills the store buffer.
//
//go:norace
func (b *Backlog) Store() {
	for range 40 {
		b.at = (b.at + 1_000_003*64) & (len(b.lines) - 1)
		b.lines[b.at] = 1 // no load, which would be waited for
	}
}

// Buffer is a bytes.Buffer that goroutines share.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
