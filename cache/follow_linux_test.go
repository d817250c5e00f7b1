package cache

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
	"quiesce/page"
	"quiesce/slab"
)

// status returns a figure of /proc/self/status in bytes.
func status(t *testing.T, key string) (bytes int64) {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), key+":"); ok {
			if _, err := fmt.Sscanf(rest, "%d kB", &bytes); err != nil {
				t.Fatal(err)
			}
			return bytes << 10
		}
	}
	t.Fatalf("there is no %s", key)
	return 0
}

// A program with a full cache whose Go heap grows and shrinks: the sum stays within
// one figure, and the cache takes what the heap leaves. In a process of its own,
// whose memory is its own.
func TestACacheAndTheGoHeapShareOneFigure(t *testing.T) {
	if race.Enabled || slab.PoisonEnabled || lockdep.Tagged || testkit.Emulated() {
		t.Skip("memory that others need counts too")
	}
	if testkit.Scenario() == "" {
		out, err := testkit.OfTest(t, "share", "GOGC=100", "GOMEMLIMIT=off").Output()
		if err != nil || !strings.Contains(out, "PASS") {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	const mib = 1 << 20
	const total = 96 * mib
	code := status(t, "RssFile") // of the program, which is no part of the total
	a, err := page.New(page.Config{Name: "shared", Limit: total})
	if err != nil {
		t.Fatal(err)
	}
	stop, err := page.FollowMemoryLimit(a, total)
	if err != nil {
		t.Fatal(err)
	}
	// MaxBytes is more than there is: the allocator's limit counts.
	c, err := New(Options[int, [1000]byte]{Name: "cache", Allocator: a, MaxBytes: 2 * total})
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	fill := func(n int) {
		for range n {
			if err := c.Set(next, [1000]byte{}); err != nil {
				t.Fatal(err)
			}
			next++
		}
	}
	var heap [][]byte
	fits := func(when string) {
		t.Helper()
		testkit.Eventually(t, 30*time.Second, "the total holds: "+when, func() bool { return status(t, "VmRSS")-code <= total })
	}
	bytes := func(what string, ok func(held int64) bool) {
		t.Helper()
		testkit.Eventually(t, 30*time.Second, what, func() bool {
			debug.FreeOSMemory() // a cycle, which a program that works has by itself
			fill(1000)
			return ok(a.Stats().Resident)
		})
	}
	fill(120_000) // 120 MB
	bytes("the cache is full", func(held int64) bool { return held > 70*mib })
	fits("the heap is small")
	entries := c.Len()
	rounds := 1
	if testkit.Long() {
		rounds = 10
	}
	for range rounds {
		// No cycle is asked for: that Go needs memory is enough.
		for range 32 {
			b := make([]byte, mib)
			for i := range b {
				b[i] = 1
			}
			heap = append(heap, b)
			fill(100)
			fits("the heap grows")
		}
		bytes("the cache gave way", func(held int64) bool { return held < 30*mib })
		fits("the heap is large")
		if n := c.Len(); n == 0 || n > entries/2 {
			t.Errorf("%d entries, there were %d", n, entries)
		}
		runtime.KeepAlive(heap)
		heap = nil
		fill(50_000)
		bytes("the cache has the memory again", func(held int64) bool { fill(10_000); return held > 70*mib })
		fits("the heap is small again")
	}
	t.Logf("%d MiB at most, for a moment, of %d", (status(t, "VmHWM")-code)/mib, total/mib)
	if s := c.Stats(); s.Busy != 0 || s.Dropped != 0 {
		t.Errorf("Sets failed: %+v", s)
	}
	stop()
	if got := a.Stats().Limit; got != total {
		t.Errorf("limit %d after stop", got)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
}
