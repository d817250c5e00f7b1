package harness

import (
	"fmt"
	"runtime"
	"sync"
	"time"
)

// Together runs a work in n goroutines at once: work(g) makes a function of goroutine
// g that is called again and again. perOp is the wall time in ns by the operations of
// all goroutines, the median of the batches, which take ns each. ops are all
// operations, wrong those with a wrong result.
func Together(n, batches int, ns float64, work func(g int) func() (ops, wrong int)) (perOp float64, ops, wrong int) {
	rates := make([][]float64, n) // operations a ns, of each batch
	bad, all := make([]int, n), make([]int, n)
	start := time.Now()
	now := func() float64 { return float64(time.Since(start)) }
	var done, ready sync.WaitGroup
	gate := make(chan struct{})
	for g := range n {
		ready.Add(1)
		done.Go(func() {
			step := work(g)
			rate := make([]float64, 0, batches)
			ready.Done()
			<-gate
			for b := -1; b < batches; b++ { // the first one is the warm-up
				ops, start := 0, now()
				end := start
				for end-start < ns {
					k, w := step()
					ops += k
					bad[g] += w
					end = now()
				}
				all[g] += ops
				if b >= 0 {
					rate = append(rate, float64(ops)/(end-start))
				}
			}
			rates[g] = rate
		})
	}
	ready.Wait()
	close(gate)
	done.Wait()
	v := make([]float64, batches)
	for b := range v {
		sum := 0.0
		for g := range n {
			sum += rates[g][b]
		}
		v[b] = 1 / sum
	}
	for g := range n {
		ops, wrong = ops+all[g], wrong+bad[g]
	}
	return Median(v), ops, wrong
}

// GCCycle is the time of a collection, in ns: the median of three.
func GCCycle() float64 {
	v := make([]float64, 3)
	for i := range v {
		start := time.Now()
		runtime.GC()
		v[i] = float64(time.Since(start))
	}
	return Median(v)
}

// Cell is a figure of a table. Without rounds it was not measured; a ratio of 0 says
// that the base was not.
type Cell struct {
	Value  float64   `json:"value"`
	Ratio  float64   `json:"ratio"`
	Spread float64   `json:"spread_percent"`
	Noisy  bool      `json:"noisy"`
	Rounds []float64 `json:"rounds"`
}

// NewCell returns the cell of the figure "v" of the rounds, in a unit of scale. Rounds
// that have none are nil.
func NewCell(rounds, base []Figures, scale float64) Cell {
	value, ratio, spread := Compare("v", rounds, base)
	c := Cell{Value: value / scale, Ratio: ratio, Spread: spread, Noisy: spread > NoisySpread, Rounds: []float64{}}
	for _, f := range rounds {
		if f != nil {
			c.Rounds = append(c.Rounds, f["v"]/scale)
		}
	}
	return c
}

// String is a figure and its ratio.
func (c *Cell) String() string {
	if len(c.Rounds) == 0 {
		return "-"
	}
	mark := " "
	if c.Noisy {
		mark = "~"
	}
	return fmt.Sprintf("%s %4s%s", NS(c.Value), Ratio(c.Ratio), mark)
}
