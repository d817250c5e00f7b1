package top

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"quiesce/inspect"
)

// The screens that people have, whole.
func TestTheScreenAt80x24(t *testing.T) {
	s := screen{source: "127.0.0.1:6060", frame: frame(), interval: 2 * time.Second}
	got := s.live(80, 24, plain)
	fits(t, got, 80, 24)
	clock := s.frame.Time.Local().Format("15:04:05")
	want := []string{
		"quiesce top  127.0.0.1:6060  go1.26.8, 8 Ps, 1,234 goroutines           " + clock,
		"off-heap  3.0 GiB of 4.0 GiB [########--] 75.0 %  live 2.0 GiB, deferred 5.0 MiB",
		"Go        200 MiB, objects 150 MiB, GOMEMLIMIT 1.0 GiB, 0.50 GC/s",
		"RCU       50.0 grace periods/s, readers 0, callbacks waiting 0",
		"",
		"[1 caches (3)] 2 maps (1)  3 slab caches (2)  4 allocators (1)  5 rcu ",
		"cache                  bytes  full %   entries  hit %   hits/s   sets/s  evict/s",
		"sessions             2.0 GiB   100.0    5.00 M   75.0   1.50 k        -     5.00",
		"thumbnails           700 MiB       -         7    0.0        -        -        -",
		"pages                1.0 MiB    50.0     9,000   25.0        -        -        -",
	}
	lines := strings.Split(got, "\n")
	for i, w := range want {
		if lines[i] != w {
			t.Errorf("line %d: %q, want %q", i+1, lines[i], w)
		}
	}
	if want := "q quit  1-5 view  s sort (bytes)  r reverse  ↑↓ scroll  space pause  +- 2s"; lines[23] != want {
		t.Errorf("the last line is %q, want %q", lines[23], want)
	}
}

func TestTheScreenAt120x40(t *testing.T) {
	s := screen{source: "127.0.0.1:6060", frame: frame(), interval: 2 * time.Second}
	got := s.live(120, 40, plain)
	fits(t, got, 120, 40)
	has(t, got, "live 2.0 GiB, deferred 5.0 MiB", "misses/s", "max allocator ", "sessions", "500", "2.0 GiB default", "thumbnails")
	s.view = 2
	got = s.live(120, 40, plain)
	fits(t, got, 120, 40)
	has(t, got, "[3 slab caches (2)]", "slab cache", "held", "size allocator", "sessions-128", "2.0 GiB", "1.0 GiB", "50.0", "8.39 M", "pages-64")
}

// Whatever the size of the terminal, the screen fits, for each view.
func TestTheScreenFitsEverySize(t *testing.T) {
	stalled := frame()
	stalled.RCU.Stall, stalled.RCU.WaitsFor, stalled.RCU.StallNS = strings.Repeat("a reader ", 30), "a reader", 3e9
	stalled.RCU.Events = []inspect.Event{{Kind: "reader", What: strings.Repeat("x", 200)}}
	for _, s := range []screen{
		{source: "host:1"},
		{source: "host:1", failed: "dial tcp: connection refused"},
		{source: "host:1", frame: frame(), failed: "dial tcp: connection refused", since: time.Minute},
		{source: "host:1", frame: frame(), paused: true, scroll: 1 << 30},
		{source: "host:1", frame: stalled},
		{source: "host:1", frame: newFrame("", nil, &inspect.State{})},
	} {
		for s.view = range views {
			for width := 1; width <= 130; width += 7 {
				for height := 1; height <= 45; height += 6 {
					fits(t, s.live(width, height, plain), width, height)
				}
			}
		}
	}
}

func TestRowsAreSortedAndScrolled(t *testing.T) {
	s := screen{frame: frame()}
	sorted := func(names ...string) {
		t.Helper()
		has(t, s.live(80, 24, plain), names...)
	}
	sorted("s sort (bytes)")
	sorted("sessions ", "thumbnails ", "pages ")
	s.order.reverse = true
	sorted("pages ", "thumbnails ", "sessions ")
	s.order.reverse = false
	for s.order.column = 0; !strings.Contains(s.live(80, 24, plain), "sort (entries)"); s.order.column++ {
		if s.order.column > 9 {
			t.Fatal("there is no order by entries")
		}
	}
	sorted("sessions ", "pages ", "thumbnails ")
	for !strings.Contains(s.live(80, 24, plain), "sort (cache)") {
		s.order.column++
	}
	sorted("pages ", "sessions ", "thumbnails ")

	s.order = order{}
	for i := range 100 {
		s.frame.Caches = append(s.frame.Caches, Cache{Cache: inspect.Cache{Name: fmt.Sprintf("small-%d", i), Bytes: int64(1000 - i)}})
	}
	s.scroll = 3
	got := s.live(80, 24, plain)
	has(t, got, "small-0 ", "small-1 ")
	if strings.Contains(got, "sessions ") {
		t.Error("it did not scroll")
	}
	s.scroll = 1 << 30
	has(t, s.live(80, 24, plain), "small-84 ", "small-99 ")
	if s.scroll != 87 { // 103 caches in 16 lines
		t.Errorf("scrolled to %d, want the last page, 87", s.scroll)
	}
}

func TestTheProcessCannotWriteToTheTerminal(t *testing.T) {
	bad := "a\x1b[2J\x07\n\r\u009b31m\u202e\xff"
	st := state(1)
	st.Process.GoVersion = bad
	st.RCU.Stall, st.RCU.WaitsFor = bad, bad
	st.RCU.Running = []inspect.Callback{{Batch: bad, Func: bad}}
	st.RCU.Events = []inspect.Event{{Kind: bad, What: bad}}
	st.Allocators[0].Name, st.Maps[0].Name, st.Caches[0].Name, st.SlabCaches[0].Name = bad, bad, bad, bad
	st.Maps[0].Allocator, st.Caches[0].Allocator = bad, bad
	f := newFrame("x", nil, st)
	s := screen{source: "x", frame: f}
	for s.view = range views {
		fits(t, s.live(140, 40, plain), 140, 40)
		if got := s.live(140, 40, plain); strings.ContainsAny(got, "\x1b\x07\u009b\u202e") {
			t.Errorf("%q", got)
		}
	}
	if strings.ContainsAny(f.Print(140), "\x1b\x07\u009b\u202e\r") {
		t.Error("the text has them")
	}
}

func TestTheText(t *testing.T) {
	got := frame().Print(80)
	fits(t, strings.TrimSuffix(got, "\n"), 80, strings.Count(got, "\n"))
	has(t, got, "quiesce top  127.0.0.1:6060", "off-heap", "\ncache ", "\nsessions ", "\nmap ", "\nroutes ", "\nslab cache ", "\nsessions-128 ",
		"\nallocator ", "\ndefault ", "\ngrace periods ", "600, 50.0/s")
	if strings.Contains(got, " \n") || strings.Contains(got, "q quit") {
		t.Errorf("spaces at the end of lines, or keys, in\n%s", got)
	}
	empty := newFrame("x", nil, &inspect.State{}).Print(80)
	if strings.Contains(empty, "\ncache") || !strings.Contains(empty, "grace periods") {
		t.Errorf("of a process with nothing:\n%s", empty)
	}
}
