package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"quiesce/bench/internal/harness"
)

const mib = 1 << 20

// resident returns the process's resident memory, after the collector has given back
// what it can.
func resident() float64 {
	debug.FreeOSMemory()
	return rss()
}

// rss is the process's resident memory in bytes.
func rss() (bytes float64) {
	text, _ := os.ReadFile("/proc/self/statm")
	var all, pages float64
	fmt.Sscan(string(text), &all, &pages)
	return pages * float64(os.Getpagesize())
}

// memory measures a large cache: the memory of an entry, the time of a collection, and
// what a bystander notices that allocates while another goroutine uses the cache.
func (t *task) memory() error {
	n := t.Entries
	before := resident()
	s, err := t.brand.make(plan{bytes: n * 2 * perEntry, entries: n + n/20, mean: keySize + valueSize})
	if err != nil {
		return err
	}
	defer s.close()
	fill(s, n)
	after := resident()
	there, read := 0, s.reader()
	sample := min(n, 100_000)
	rng := rand.New(rand.NewPCG(1, 4))
	for range sample {
		p := probeOf(rng.IntN(n))
		switch read(&p) {
		case hit:
			there++
		case wrong:
			return harness.WrongError{What: fmt.Sprintf("of key %d", p.n)}
		}
	}
	if there == 0 && t.brand != &none {
		return fmt.Errorf("none of %d keys is there", n)
	}
	part := float64(there) / float64(sample)
	t.figure("there", 100*part)
	if part > 0 {
		t.figure("entry", max(after-before, 0)/(part*float64(n)))
	}
	t.figure("gc", harness.GCCycle())
	t.bystand(s, n)
	runtime.KeepAlive(s)
	return nil
}

// The bystander allocates bystand KiB in pieces of 1 KiB, and keeps the last MiB.
const bystand = 64

// bystand measures a bystander's work, 64 KiB every half millisecond, and the
// collector's part of the process's CPU time.
func (t *task) bystand(s store, n int) {
	var over atomic.Bool
	var others sync.WaitGroup
	rng := rand.New(rand.NewPCG(1, 5))
	probes := make([]probe, min(n, 50_000)) // the bystander's is all the garbage
	for i := range probes {
		probes[i] = probeOf(rng.IntN(n))
	}
	others.Go(func() {
		read, v := s.reader(), make([]byte, valueSize)
		for i := 0; i == 0 || !over.Load(); i++ {
			if p := &probes[i%len(probes)]; i%20 == 0 {
				s.set(p, stamp(v, p))
			} else {
				read(p)
			}
		}
	})
	h := hdrhistogram.New(1, 10e9, 3)
	kept := make([][]byte, 1024)
	at, gc, cpu := 0, gcSeconds(), harness.CPUTime()
	for end := time.Now().Add(t.seconds()); time.Now().Before(end); {
		start := time.Now()
		for range bystand {
			b := make([]byte, 1024)
			b[0] = 1
			kept[at%len(kept)] = b
			at++
		}
		_ = h.RecordValue(int64(time.Since(start))) // longer than 10 s: left out
		time.Sleep(500 * time.Microsecond)
	}
	gc = gcSeconds() - gc
	cpu = (harness.CPUTime() - cpu) / 1e9
	over.Store(true)
	others.Wait()
	t.figure("p999", float64(h.ValueAtQuantile(99.9)))
	t.figure("gccpu", 100*gc/max(cpu, 1e-9))
}

// gcSeconds is the CPU time that the collector has used, idle time excepted.
func gcSeconds() float64 {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"}}
	runtime.GC() // the figures are those of the last collection
	metrics.Read(s)
	return s[0].Value.Float64() - s[1].Value.Float64()
}
