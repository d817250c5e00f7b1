package main

import (
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"quiesce/bench/internal/harness"
)

// A process that measures one map, once. c/maps.c does the same in C: keep the
// two alike, for their figures stand side by side.

// childArg as the first argument makes this program such a process. The others
// are the peer, and the C program's.
const childArg = "child"

// task is what a child is to do.
type task struct {
	peer    *peer
	mode    string // kind of keys, colon, the works with a comma after each
	ns      float64
	batches int
	keys    int
	out     io.Writer
}

// child measures and returns the exit status.
func child(args []string, out, errs io.Writer) int {
	t, err := parseTask(args)
	if err == nil {
		t.out = out
		if runtime.GOMAXPROCS(0) < 2 { // as the C program has as many threads as it likes
			runtime.GOMAXPROCS(2)
		}
		err = t.run()
	}
	return harness.ChildStatus(err, errs, func() { t.figure("ok", 1) })
}

func parseTask(args []string) (*task, error) {
	if len(args) != 5 {
		return nil, fmt.Errorf("no such measurement: %q", args)
	}
	p, err := subjectByID(args[0])
	if err != nil {
		return nil, err
	}
	ns, err := strconv.ParseFloat(args[2], 64)
	if err != nil || ns <= 0 {
		return nil, fmt.Errorf("NS is more than 0, not %s", args[2])
	}
	batches, err := strconv.Atoi(args[3])
	if err != nil || batches < 1 {
		return nil, fmt.Errorf("BATCHES is more than 0, not %s", args[3])
	}
	keys, err := strconv.Atoi(args[4])
	if err != nil || keys < 1 {
		return nil, fmt.Errorf("KEYS is more than 0, not %s", args[4])
	}
	return &task{peer: p, mode: args[1], ns: ns, batches: batches, keys: keys}, nil
}

func (t *task) run() error {
	kind, _, _ := strings.Cut(t.mode, ":")
	switch kind {
	case kindUint64:
		return look[uint64](t)
	case kindString:
		return look[string](t)
	case kindGrow:
		return grow(t)
	case kindRSS:
		return rssUints(t)
	case kindTexts:
		return rssTexts(t)
	}
	return fmt.Errorf("no such mode: %s", t.mode)
}

// wants reports whether a work is to be measured.
func (t *task) wants(work string) bool { return strings.Contains(t.mode, work+",") }

func (t *task) figure(name string, value float64) {
	fmt.Fprintf(t.out, "figure %s %.3f\n", name, value)
}

func wrongIf(n int, format string, args ...any) error {
	if n == 0 {
		return nil
	}
	return harness.WrongError{What: fmt.Sprintf("%d of ", n) + fmt.Sprintf(format, args...)}
}

var started = time.Now()

// now is the monotonic clock.
func now() float64 { return float64(time.Since(started)) }

const (
	chunk       = 1000      // look-ups between two readings of the clock
	most        = 8_000_000 // keys that are looked up, of a larger map
	mostUpdated = 250_000   // keys that are put again, and that are inserted and deleted
)

// looks are the keys of one goroutine or of all.
type looks[K key] struct {
	t       table[K]
	there   probes[K] // are in the map
	again   probes[K] // some of them, in memory of their own
	absent  probes[K]
	updates [2]updates[K] // of each goroutine
}

// updates are keys that a goroutine inserts and deletes, and where it is.
type updates[K key] struct {
	in, out  probes[K] // the same keys twice, as a map may keep the strings it is given
	window   int       // so many are in the map while the work runs
	inserted int
	turn     int
	_        [64]byte
}

// look measures look-ups and updates of a full map.
func look[K key](t *task) error {
	m, err := newTable[K](t.peer, t.keys)
	if err != nil {
		return err
	}
	start := now()
	one := probes[K]{make([]K, 1), make([]uint64, 1)}
	for i := range t.keys {
		one.keys[0], one.vals[0] = keyOf[K](i), valueOf(i)
		if m.put(one) != 0 {
			return fmt.Errorf("no memory for key %d of %d", i+1, t.keys)
		}
	}
	t.figure("build", (now()-start)/float64(t.keys))
	if t.wants("gc.1") {
		t.figure("gc.1."+m.ways()[0].name, harness.GCCycle())
	}

	order := shuffled(t.keys, most)
	l := looks[K]{t: m, there: probesOf[K](order, 0), absent: probesOf[K](order, t.keys)}
	if !t.peer.readOnly {
		few := order[:min(len(order), mostUpdated)]
		l.again = probesOf[K](few, 0)
		for g := range l.updates {
			u, first := &l.updates[g], (2+g)*t.keys
			u.in, u.out = probesOf[K](few, first), probesOf[K](few, first)
			u.window = min(max(len(few)/100, 1), chunk)
		}
	}
	runtime.GC()
	if err := l.check(); err != nil {
		return err
	}
	for _, n := range []int{1, 2} {
		if err := l.lookUps(t, n); err != nil {
			return err
		}
		if t.peer.readOnly {
			continue
		}
		if err := l.updateWorks(t, n); err != nil {
			return err
		}
	}
	if err := l.check(); err != nil {
		return err
	}
	runtime.KeepAlive(m)
	return m.close()
}

// check looks all keys up, in every way, and those that were deleted.
func (l *looks[K]) check() error {
	for _, w := range l.t.ways() {
		if err := wrongIf(w.hit(l.there), "%d keys that are there (%s)", len(l.there.keys), w.name); err != nil {
			return err
		}
		for _, ks := range [][]K{l.absent.keys, l.updates[0].out.keys, l.updates[1].out.keys} {
			if err := wrongIf(w.miss(ks), "%d keys that are not there (%s)", len(ks), w.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *looks[K]) lookUps(t *task, n int) error {
	for _, w := range l.t.ways() {
		if name := fmt.Sprintf("hit.%d", n); t.wants(name) {
			err := t.together(name+"."+w.name, n, l.cycle(n, func(from, to int) int { return w.hit(l.there.slice(from, to)) }))
			if err != nil {
				return err
			}
		}
		if name := fmt.Sprintf("miss.%d", n); t.wants(name) {
			err := t.together(name+"."+w.name, n, l.cycle(n, func(from, to int) int { return w.miss(l.absent.keys[from:to]) }))
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// cycle makes a goroutine's work of one on a part of the keys: chunk by chunk,
// each goroutine from another place.
func (l *looks[K]) cycle(n int, part func(from, to int) (wrong int)) func(g int) func() (ops, wrong int) {
	keys := len(l.there.keys)
	return func(g int) func() (int, int) {
		at := g * (keys / n)
		return func() (int, int) {
			if at >= keys {
				at = 0
			}
			from := at
			at = min(at+chunk, keys)
			return at - from, part(from, at)
		}
	}
}

// together runs a work in n goroutines at once, as harness.Together does.
func (t *task) together(name string, n int, work func(g int) func() (ops, wrong int)) error {
	perOp, ops, wrong := harness.Together(n, t.batches, t.ns, work)
	t.figure(name, perOp)
	return wrongIf(wrong, "%d results of %s", ops, name)
}
