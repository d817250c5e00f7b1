// Load runs one workload and says how much work its goroutines shared. Package
// shared builds it with counters in the library, and starts it; without them it
// counts membarriers and grace periods only.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/rcu"
	"quiesce/slab"
)

// counts returns the counters of the library. The instrumented build sets it.
var counts = func() []uint64 { return nil }

// Moment is the counters at a time.
type Moment struct {
	Counts       []uint64 `json:"counts"`
	Membarriers  uint64   `json:"membarriers"`
	GracePeriods uint64   `json:"grace_periods"`
}

// Outcome is what a run found.
type Outcome struct {
	Objects int     `json:"objects"`
	Seconds float64 `json:"seconds"`
	Before  Moment  `json:"before"`
	After   Moment  `json:"after"`
	End     Moment  `json:"end"` // with the cache closed
	Last    Moment  `json:"last"`
}

// now reads the counters last.
func now() Moment {
	m := Moment{Membarriers: sys.Membarriers(), GracePeriods: rcu.ReadStats().GracePeriods}
	m.Counts = counts()
	return m
}

type object [64]byte

// worker handles n objects, and then more when it is called again. It is one of
// several, each of which has a number.
type worker func(n int)

var workloads = map[string]func(c *slab.Cache[object], id, of int) worker{
	"alloc": alloc, "churn": churn, "remote": remote, "sheaf": sheaf, "read": read,
}

func main() {
	name := flag.String("workload", "churn", "the workload's `name`")
	objects := flag.Int("objects", 1<<20, "`n` objects that all goroutines handle together")
	flag.Parse()
	make1, ok := workloads[*name]
	if !ok || flag.NArg() > 0 || *objects < 0 {
		fmt.Fprintln(os.Stderr, "load: started by go run ./tests/shared")
		os.Exit(2)
	}
	out, err := run(make1, *objects)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(out)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

// run has as many goroutines as there are Ps handle the objects, after a quarter
// as many to warm up: what a P needs once is not counted.
func run(make1 func(c *slab.Cache[object], id, of int) worker, objects int) (*Outcome, error) {
	c, err := slab.NewCache[object]("load")
	if err != nil {
		return nil, err
	}
	ps := runtime.GOMAXPROCS(0)
	each := objects / ps
	var warm, done sync.WaitGroup
	start := make(chan struct{})
	warm.Add(ps)
	for id := range ps {
		w := make1(c, id, ps)
		done.Go(func() {
			w(each / 4)
			warm.Done()
			<-start
			w(each)
		})
	}
	warm.Wait()
	out := &Outcome{Objects: each * ps, Before: now()}
	began := time.Now()
	close(start)
	done.Wait()
	out.Seconds = time.Since(began).Seconds()
	out.After = now()
	for _, s := range open {
		s.Close()
	}
	if err := c.Close(); err != nil {
		return nil, err
	}
	out.End, out.Last = now(), now()
	return out, nil
}

func must(o *object) *object {
	if o == nil {
		panic("load: no memory")
	}
	return o
}

// alloc allocates and frees at once, with 16 objects out.
func alloc(c *slab.Cache[object], _, _ int) worker {
	return func(n int) {
		var out [16]*object
		for i := range n {
			o := &out[i%len(out)]
			if *o != nil {
				c.Free(*o)
			}
			*o = must(c.Alloc(gfp.Kernel))
		}
		for _, o := range out {
			c.Free(o)
		}
	}
}

// churn frees after a grace period.
func churn(c *slab.Cache[object], _, _ int) worker {
	return func(n int) {
		for range n {
			c.FreeRCU(must(c.Alloc(gfp.Kernel)))
		}
	}
}

// crate is how many objects a goroutine passes on at a time.
const crate = 1000

// rings has for each goroutine what the one before it passes on.
var rings []chan []*object

// remote frees what the goroutine before allocated, and passes its own on.
func remote(c *slab.Cache[object], id, of int) worker {
	for len(rings) < of {
		rings = append(rings, make(chan []*object, 1))
	}
	in, out := rings[id], rings[(id+1)%of]
	objects := make([]*object, crate)
	return func(n int) {
		for ; n > 0; n -= crate {
			objects = objects[:min(n, crate)]
			for i := range objects {
				objects[i] = must(c.Alloc(gfp.Kernel))
			}
			out <- objects
			objects = <-in
			for _, o := range objects {
				c.Free(o)
			}
			objects = slices.Grow(objects[:0], crate)
		}
	}
}

var open []*slab.Sheaf[object]

// sheaf is churn through a stock of the goroutine's own.
func sheaf(c *slab.Cache[object], _, _ int) worker {
	s, err := c.Sheaf(64, gfp.Kernel)
	if err != nil {
		panic(err)
	}
	open = append(open, s)
	return func(n int) {
		for range n {
			s.FreeRCU(must(s.Alloc(gfp.Kernel)))
		}
	}
}

// read enters and leaves.
func read(*slab.Cache[object], int, int) worker {
	return func(n int) {
		for range n {
			g := rcu.ReadLock()
			g.Unlock()
		}
	}
}
