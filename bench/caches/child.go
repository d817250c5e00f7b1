package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"

	"quiesce/bench/internal/harness"
)

// A process that measures one cache, once.

// childArg as the first argument makes this program such a process. The second is its
// task.
const childArg = "child"

// task is what a child is to do.
type task struct {
	Brand   string
	Kind    string
	Works   []string // of kindGet and kindLoad
	Entries int
	NS      float64 // of a batch
	Batches int
	Trace   string  // of kindBytes: a file, or the name of a generated workload
	Sizes   string  // the directory with distributions
	Bytes   int     // of memory, of kindBytes and kindStorm
	Scale   float64 // of the limit that the cache is told, of kindBytes
	Seconds float64
	Short   bool

	brand *brand
	out   io.Writer
}

// Kinds of tasks.
const (
	kindGet    = "get"    // works on a cache that has every key
	kindLoad   = "load"   // Zipf, a tenth of the keys fits, load on miss
	kindBytes  = "bytes"  // a trace with sizes
	kindMemory = "memory" // a large cache, and a bystander
	kindStorm  = "storm"
)

// child measures and returns the exit status.
func child(args []string, out, errs io.Writer) int {
	var t task
	err := fmt.Errorf("no such task: %q", args)
	if len(args) == 1 {
		err = json.Unmarshal([]byte(args[0]), &t)
	}
	if err == nil {
		t.out = out
		if runtime.GOMAXPROCS(0) < 2 {
			runtime.GOMAXPROCS(2)
		}
		err = t.run()
	}
	return harness.ChildStatus(err, errs, func() { t.figure("ok", 1) })
}

func (t *task) run() error {
	if t.brand = brandByID(t.Brand); t.brand == nil {
		return fmt.Errorf("no such cache: %q", t.Brand)
	}
	switch t.Kind {
	case kindGet:
		return t.get()
	case kindLoad:
		return t.load()
	case kindBytes:
		return t.replay()
	case kindMemory:
		return t.memory()
	case kindStorm:
		return t.storm()
	}
	return fmt.Errorf("no such work: %q", t.Kind)
}

func (t *task) figure(name string, value float64) {
	fmt.Fprintf(t.out, "figure %s %.4f\n", name, value)
}

// fill sets the keys with the numbers below n, each in memory of its own.
func fill(s store, n int) {
	v := make([]byte, valueSize)
	for i := range n {
		p := probeOf(i)
		s.set(&p, stamp(v, &p))
		if s, ok := s.(settler); ok && i%64 == 63 { // it drops what comes too fast
			s.settle()
		}
	}
	if s, ok := s.(settler); ok {
		s.settle()
	}
}

// seconds is a time as a Duration.
func (t *task) seconds() time.Duration { return time.Duration(t.Seconds * float64(time.Second)) }
