package testkit

import (
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/sys"
)

// SpinFor keeps the goroutine on its thread, pinned or not.
func SpinFor(d time.Duration) {
	for end := sys.Nanotime() + int64(d); sys.Nanotime() < end; {
		sys.Pause(10)
	}
}

// During yields 0, 1, 2, … until d has passed.
func During(d time.Duration) iter.Seq[int] {
	return func(yield func(int) bool) {
		end := time.Now().Add(d)
		for i := 0; time.Now().Before(end) && yield(i); i++ {
		}
	}
}

// Async runs fn in a goroutine. The channel is closed when fn has returned.
func Async(fn func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	return done
}

// AsyncN runs fn in n goroutines, each with its number. The channel is closed
// when all have returned.
func AsyncN(n int, fn func(i int)) <-chan struct{} {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { fn(i) })
	}
	return Async(wg.Wait)
}

// Repeat calls fn over and over, in a goroutine that yields after each call, until
// stop is called. stop waits for the last call's end.
func Repeat(fn func()) (stop func()) {
	end := make(chan struct{})
	done := Async(func() {
		for !IsClosed(end) {
			fn()
			runtime.Gosched()
		}
	})
	return func() {
		close(end)
		<-done
	}
}

// IsClosed reports whether the channel, on which nothing is sent, is closed.
func IsClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Within ends the test, with all goroutines' stacks, if done is not closed
// within half a minute.
func Within(t testing.TB, what string, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		buf := make([]byte, 1<<16)
		t.Fatalf("%s: not within 30 s\n%s", what, buf[:runtime.Stack(buf, true)])
	}
}

// Eventually polls until ok returns true, and ends the test if that takes
// longer than limit.
func Eventually(t testing.TB, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(100 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, limit)
		}
	}
}

// Panics runs fn and fails the test unless fn panics with a string that has
// all of the parts.
func Panics(t testing.TB, fn func(), parts ...string) {
	t.Helper()
	defer func() {
		t.Helper()
		s, ok := recover().(string)
		if !ok {
			t.Fatal("no panic with a string")
		}
		for _, p := range parts {
			if !strings.Contains(s, p) {
				t.Errorf("panic %q does not say %q", s, p)
			}
		}
	}()
	fn()
}
