package top

import (
	"strings"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"

	"quiesce/inspect"
)

// state is a process's snapshot, s seconds after a fixed moment.
func state(s float64) *inspect.State {
	return &inspect.State{
		Time:       time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC).Add(time.Duration(s * float64(time.Second))),
		Process:    inspect.Process{GoVersion: "go1.26.8", GOMAXPROCS: 8, Goroutines: 1234, GoBytes: 200 << 20, GoHeapBytes: 150 << 20, GoMemLimit: 1 << 30, GCCycles: 100},
		Memory:     inspect.Memory{Resident: 3 << 30, Limit: 4 << 30, Live: 2 << 30, Deferred: 5 << 20},
		Allocators: []inspect.Allocator{{Name: "default", Resident: 3 << 30, Limit: 4 << 30, InUse: 3 << 30, Allocs: 1000}},
		SlabCaches: []inspect.SlabCache{
			{Name: "pages-64", Owner: "pages", Allocator: "default", ObjectSize: 64, Bytes: 1 << 20, LiveBytes: 512 << 10, Fill: 0.5, Live: 8192},
			{Name: "sessions-128", Owner: "sessions", Allocator: "default", ObjectSize: 128, Bytes: 2 << 30, LiveBytes: 1 << 30, Fill: 0.5, Live: 8 << 20},
		},
		Maps: []inspect.Map{{Name: "routes", Allocator: "default", Keys: 1_000_000, Bytes: 64 << 20, Table: 8 << 20}},
		Caches: []inspect.Cache{
			{Name: "pages", Allocator: "default", Entries: 9000, Bytes: 1 << 20, MaxBytes: 2 << 20, HitRatio: 0.25, Hits: 1000, Misses: 3000},
			{Name: "sessions", Allocator: "default", Entries: 5_000_000, Bytes: 2 << 30, MaxBytes: 2 << 30, HitRatio: 0.9, Hits: 9000, Misses: 1000},
			{Name: "thumbnails", Allocator: "default", Entries: 7, Bytes: 700 << 20},
		},
		RCU: inspect.RCU{GracePeriods: 500, Invoked: 10},
	}
}

// frame is what a process did in two seconds.
func frame() *Frame {
	now := state(2)
	now.Caches[1].Hits += 3000
	now.Caches[1].Misses += 1000
	now.Caches[1].Evictions += 10
	now.RCU.GracePeriods += 100
	now.Process.GCCycles++
	return newFrame("127.0.0.1:6060", state(0), now)
}

// fits checks that a screen has height lines, none wider than width, and nothing
// that is no text.
func fits(t *testing.T, screen string, width, height int) {
	t.Helper()
	lines := strings.Split(screen, "\n")
	if len(lines) != height {
		t.Errorf("%dx%d: %d lines", width, height, len(lines))
	}
	for _, l := range lines {
		if n := runewidth.StringWidth(l); n > width {
			t.Errorf("%dx%d: %d columns: %s", width, height, n, l)
		}
		if strings.ContainsFunc(l, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			t.Errorf("%dx%d: control characters in %q", width, height, l)
		}
	}
}

// has checks that each of the parts is in a text, one after the other.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	rest := text
	for _, p := range parts {
		i := strings.Index(rest, p)
		if i < 0 {
			t.Fatalf("no %q, or not at its place, in\n%s", p, text)
		}
		rest = rest[i+len(p):]
	}
}
