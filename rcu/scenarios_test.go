package rcu

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/preempt"
)

var scenarios = map[string]func(){
	"stall, preemptible": func() {
		stalled(func(entered func(), over func(reports int32) bool) {
			p := preempt.Disable()
			g := ReadLock()
			entered()
			p.Enable()
			for !over(2) {
				time.Sleep(stallAge / 10)
			}
			g.Unlock()
		})
	},
	"stall, pinned": func() {
		stalled(func(entered func(), over func(reports int32) bool) {
			debug.SetGCPercent(-1) // the collector would wait for the section, and the log for it
			reports := int32(2)
			if !sys.HasMembarrier() {
				reports = 0
			}
			p := preempt.Disable()
			entered()
			for !over(reports) {
				sys.Pause(10)
			}
			p.Enable()
		})
	},
	"stall, registered": func() {
		stalled(func(entered func(), over func(reports int32) bool) {
			r := makeReader()
			r.ReadLock()
			entered()
			for !over(2) {
				time.Sleep(stallAge / 10)
			}
			r.Unlock()
			r.Close()
		})
	},
	"stall, registered, dropped": func() {
		stalled(func(entered func(), over func(reports int32) bool) {
			g := lose(makeReader)
			entered()
			for !over(2) {
				time.Sleep(stallAge / 10)
			}
			g.Unlock()
		})
	},
	"no stall": func() {
		stalled(func(entered func(), _ func(int32) bool) {
			g := ReadLock()
			entered()
			time.Sleep(stallAge / 50)
			g.Unlock()
		})
	},
	"barrier in a bubble": barrierInABubble,
}

const stallAge = 100 * time.Millisecond

// countingBuffer keeps and counts the records of stalls; the count may be read pinned.
type countingBuffer struct {
	testkit.Buffer
	writes atomic.Int32
}

func (b *countingBuffer) Write(p []byte) (int, error) {
	if !bytes.Contains(p, []byte("stall")) {
		return len(p), nil // of a Reader that was dropped
	}
	defer b.writes.Add(1)
	return b.Buffer.Write(p)
}

// stalled lets a grace period wait for the reader, and prints the P that the
// reader entered on, Stats.Stalls, and the log. The reader's section is over
// after six times the timeout, and not before as many reports were logged: time for
// which a busy machine stopped the process does not count.
func stalled(reader func(entered func(), over func(reports int32) bool)) {
	StallTimeout = stallAge
	var sink countingBuffer
	slog.SetDefault(slog.New(slog.NewJSONHandler(&sink, nil)))
	var p atomic.Int32
	p.Store(-1)
	begin := sys.Nanotime()
	go reader(func() { p.Store(int32(testkit.Here())) }, func(reports int32) bool {
		lasted := time.Duration(sys.Nanotime() - begin)
		return lasted > 6*stallAge && sink.writes.Load() >= reports || lasted > 200*stallAge
	})
	for p.Load() < 0 {
		runtime.Gosched()
	}
	Synchronize()
	stalls := ReadStats().Stalls
	// The report is written by a goroutine of its own.
	for end := time.Now().Add(5 * time.Second); uint64(strings.Count(sink.String(), "\n")) < stalls && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	fmt.Printf("%d %d\n%s", p.Load(), stalls, sink.String())
}

func TestStallIsReportedAgainAndAgainWithFlavourAndP(t *testing.T) {
	for _, c := range []struct {
		scenario, flavour string
		stalls            int
	}{
		{"stall, preemptible", "preemptible", 1},
		// With QUIESCE=membarrier=0 the driver stops the world, which waits
		// for pinned sections before it could see one that is stalled.
		{"stall, pinned", "pinned", map[bool]int{true: 1, false: 0}[sys.HasMembarrier()]},
		{"no stall", "", 0},
	} {
		t.Run(c.scenario, func(t *testing.T) {
			out, err := child(c.scenario)
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			head, log, _ := strings.Cut(out, "\n")
			var p, stalls int
			if _, err := fmt.Sscan(head, &p, &stalls); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			reports := strings.Split(strings.TrimSpace(log), "\n")
			if log == "" {
				reports = nil
			}
			// The reports come at once, twice and four times the timeout, and so on.
			if stalls != c.stalls || len(reports) < 2*c.stalls || c.stalls == 0 && len(reports) > 0 {
				t.Fatalf("%d reports, Stats.Stalls = %d; want %d\n%s", len(reports), stalls, c.stalls, log)
			}
			last := time.Duration(0)
			for _, report := range reports {
				var r struct {
					Level, Msg, Flavour string
					P                   int
					Readers             int
					Since               time.Duration
					Seq                 uint64
				}
				if err := json.Unmarshal([]byte(report), &r); err != nil {
					t.Fatal(err)
				}
				if r.Level != slog.LevelWarn.String() || !strings.Contains(r.Msg, "stall") || r.Flavour != c.flavour ||
					r.P != p || r.Readers != 1 || r.Since < max(stallAge, 2*last) || r.Seq%2 != 1 ||
					!strings.Contains(report, "callbacks_waiting") {
					t.Errorf("the reader is %s on P %d, the report: %s", c.flavour, p, report)
				}
				last = r.Since
			}
		})
	}
}

// barrierInABubble waits, inside of a bubble, for callbacks whose worker runs
// outside of it.
func barrierInABubble() {
	runtime.GOMAXPROCS(4)
	started, release := make(chan struct{}), make(chan struct{})
	Call(func() {
		close(started)
		<-release
	})
	<-started
	time.AfterFunc(50*time.Millisecond, func() { close(release) })
	testing.Main(func(string, string) (bool, error) { return true, nil }, []testing.InternalTest{{
		Name: "bubble",
		F: func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { Barrier() })
		},
	}}, nil, nil) // exits
}
