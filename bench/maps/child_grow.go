package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"quiesce/bench/internal/harness"
)

// growth is how much a map grows, in the work of this name.
const growth = 10

// grow measures a map that grows from t.keys to ten times as many: how long
// that takes; and, in a second map, how long look-ups take during it and at
// rest (before or after it, the longer one), and the longest Put by the
// thread's CPU time, with what the machine adds to that.
func grow(t *task) error {
	if err := growAlone(t); err != nil {
		return err
	}
	runtime.GC()

	m, err := grown(t)
	if err != nil {
		return err
	}
	p := probesOf[uint64](shuffled(t.keys, most), 0)
	before, err := latencies(m, p, func(n int) bool { return float64(n) < t.ns*float64(t.batches)/100 })
	if err != nil {
		return err
	}
	var full atomic.Bool
	var longest float64
	var refused int
	var wg sync.WaitGroup
	began := now()
	wg.Go(func() {
		defer full.Store(true)
		runtime.LockOSThread() // which has the CPU time
		defer runtime.UnlockOSThread()
		one := probes[uint64]{make([]uint64, 1), make([]uint64, 1)}
		used := harness.ThreadTime()
		for i := t.keys; i < growth*t.keys; i++ {
			one.keys[0], one.vals[0] = keyOf[uint64](i), valueOf(i)
			refused += m.put(one)
			next := harness.ThreadTime()
			longest = max(longest, next-used)
			used = next
		}
	})
	during, err := latencies(m, p, func(int) bool { return !full.Load() })
	wg.Wait()
	if err != nil {
		return err
	}
	if refused > 0 {
		return fmt.Errorf("no memory for %d keys", refused)
	}
	t.figure("during", float64(during.ValueAtQuantile(99.9)))
	t.figure("longest_put", longest)
	t.figure("longest_idle", longestIdle(now()-began))

	after, err := latencies(m, p, func(n int) bool { return float64(n) < t.ns*float64(t.batches)/100 })
	if err != nil {
		return err
	}
	t.figure("rest", float64(max(before.ValueAtQuantile(99.9), after.ValueAtQuantile(99.9))))
	if err := allThere(m, growth*t.keys); err != nil {
		return err
	}
	return m.close()
}

// longestIdle is what the longest Put would be if a Put did nothing: what the machine
// itself adds to a thread's CPU time, for so many ns.
func longestIdle(ns float64) (longest float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	used := harness.ThreadTime()
	for end := now() + ns; now() < end; {
		next := harness.ThreadTime()
		longest = max(longest, next-used)
		used = next
	}
	return longest
}

// grown makes a map that holds t.keys, and was made for as many at most.
func grown(t *task) (table[uint64], error) {
	hint := 0
	if t.peer.fixed {
		hint = t.keys
	}
	m, err := newTable[uint64](t.peer, hint)
	if err != nil {
		return nil, err
	}
	return m, putAll(m, 0, t.keys)
}

func growAlone(t *task) error {
	m, err := grown(t)
	if err != nil {
		return err
	}
	start := now()
	if err := putAll(m, t.keys, growth*t.keys); err != nil {
		return err
	}
	t.figure("grow", (now()-start)/float64((growth-1)*t.keys))
	return m.close()
}

// putAll inserts the keys with these numbers.
func putAll(m table[uint64], from, to int) error {
	one := probes[uint64]{make([]uint64, 1), make([]uint64, 1)}
	for i := from; i < to; i++ {
		one.keys[0], one.vals[0] = keyOf[uint64](i), valueOf(i)
		if m.put(one) != 0 {
			return fmt.Errorf("no memory for key %d of %d", i+1, to)
		}
	}
	return nil
}

func allThere(m table[uint64], n int) error {
	wrong := 0
	one := probes[uint64]{make([]uint64, 1), make([]uint64, 1)}
	for i := range n {
		one.keys[0], one.vals[0] = keyOf[uint64](i), valueOf(i)
		wrong += m.ways()[0].hit(one)
	}
	return wrongIf(wrong, "%d keys that are there, after growth", n)
}

// latencies looks keys up and takes the time of each, in ns, while more(n) says
// so after n look-ups.
func latencies(m table[uint64], p probes[uint64], more func(n int) bool) (*hdrhistogram.Histogram, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	h := hdrhistogram.New(1, int64(10*time.Second), 3)
	hit := m.ways()[0].hit
	wrong, n := 0, 0
	for at := 0; n < chunk || more(n); n++ {
		if at == len(p.keys) {
			at = 0
		}
		start := now()
		wrong += hit(p.slice(at, at+1))
		took := now() - start
		at++
		_ = h.RecordValue(max(int64(took), 1)) // above 10 s it is not recorded
	}
	return h, wrongIf(wrong, "%d look-ups, one by one", n)
}

// rssUints measures the memory of an entry of a map that grew from nothing.
func rssUints(t *task) error {
	hint := 0
	if t.peer.fixed {
		hint = t.keys
	}
	before := t.settled()
	m, err := newTable[uint64](t.peer, hint)
	if err != nil {
		return err
	}
	if err := putAll(m, 0, t.keys); err != nil {
		return err
	}
	t.memory(before)
	if err := allThere(m, t.keys); err != nil {
		return err
	}
	return m.close()
}

// rssTexts is the same of 21-byte keys and 100-byte values.
func rssTexts(t *task) error {
	hint := 0
	if t.peer.fixed {
		hint = t.keys
	}
	before := t.settled()
	m, err := t.peer.texts(hint)
	if err != nil {
		return err
	}
	for i := range t.keys {
		if !m.put(string(appendKey(make([]byte, 0, 32), textPrefix, i)), textOf(i)) {
			return fmt.Errorf("no memory for key %d of %d", i+1, t.keys)
		}
	}
	t.memory(before)
	wrong := 0
	for i := range t.keys {
		if !m.get(string(appendKey(make([]byte, 0, 32), textPrefix, i)), func(v []byte) bool { return isTextOf(v, i) }) {
			wrong++
		}
	}
	if err := wrongIf(wrong, "%d keys that are there", t.keys); err != nil {
		return err
	}
	return m.close()
}

// memory prints the memory of an entry; the process had so many bytes before.
func (t *task) memory(before float64) {
	t.figure("bytes", max(t.settled()-before, 0)/float64(t.keys))
	t.figure("peak", max(harness.Status("VmHWM")*(1<<20)-before, 0)/float64(t.keys))
}

func textOf(i int) []byte {
	v := make([]byte, textValue)
	for j := range v {
		v[j] = byte(i >> (j % 4 * 8))
	}
	return v
}

func isTextOf(v []byte, i int) bool {
	return len(v) == textValue && v[0] == byte(i) && v[textValue-3] == byte(i>>8) && v[textValue-1] == byte(i>>24)
}

// settled is the process's memory in bytes, after all gave back what they
// could.
func (t *task) settled() float64 {
	if t.peer.settle != nil {
		t.peer.settle()
	}
	debug.FreeOSMemory()
	return harness.Status("VmRSS") * (1 << 20)
}
