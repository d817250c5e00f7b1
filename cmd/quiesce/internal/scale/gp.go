package scale

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
	"quiesce/rcu"
)

// GPConfig are the parameters of rcuscale's writers.
type GPConfig struct {
	NReaders      int           `json:"nreaders"`          // -1: one for each P
	NWriters      int           `json:"nwriters"`          // likewise
	Async         bool          `json:"gp_async"`          // rcu.Call instead of Synchronize
	AsyncMax      int           `json:"gp_async_max"`      // callbacks of a writer in flight
	Exp           bool          `json:"gp_exp"`            // SynchronizeExpedited
	Holdoff       time.Duration `json:"holdoff_ns"`        // before the writers begin
	WriterHoldoff time.Duration `json:"writer_holdoff_ns"` // between two grace periods
	MinRuntime    time.Duration `json:"minruntime_ns"`
}

// minMeas and maxMeas bound the measurements of a writer: rcuscale's MIN_MEAS
// and MAX_MEAS.
const (
	minMeas = 100
	maxMeas = 10_000
)

// GPReport are the durations that the writers saw.
type GPReport struct {
	GPConfig
	Procs    int     `json:"gomaxprocs"`
	Measured int     `json:"measurements"`
	MinNS    float64 `json:"min_ns"`
	P50NS    float64 `json:"p50_ns"`
	P90NS    float64 `json:"p90_ns"`
	P99NS    float64 `json:"p99_ns"`
	MaxNS    float64 `json:"max_ns"`
	MeanNS   float64 `json:"mean_ns"`
	RanNS    int64   `json:"ran_ns"`
	Batches  uint64  `json:"batches"`
	Reads    uint64  `json:"reads"`
	MembarNS float64 `json:"membarrier_ns"` // median of some, between the readers' begin and the writers'
	Partial  bool    `json:"partial"`
}

// SummaryLine is rcuscale's.
func (r *GPReport) SummaryLine() string {
	return fmt.Sprintf("start-to-end: %d ns, writers: %d, measurements: %d, gps: %d, batches: %d",
		r.RanNS, r.NWriters, r.Measured, r.Measured, r.Batches)
}

// GP measures grace periods while readers run.
func GP(ctx context.Context, cfg GPConfig, tell Tell) (*GPReport, error) {
	if err := check(
		bounds{"nreaders", int64(cfg.NReaders), 0, 1 << 16, true},
		bounds{"nwriters", int64(cfg.NWriters), 1, 1 << 16, true},
		bounds{"gp_async_max", int64(cfg.AsyncMax), 1, most, false},
		bounds{"holdoff", int64(cfg.Holdoff), 0, 0, false},
		bounds{"writer_holdoff", int64(cfg.WriterHoldoff), 0, 0, false},
		bounds{"minruntime", int64(cfg.MinRuntime), 0, 0, false},
	); err != nil {
		return nil, err
	}
	if cfg.Async && cfg.Exp {
		return nil, BadInput("gp_async or gp_exp, not both")
	}
	r := &GPReport{GPConfig: cfg, Procs: runtime.GOMAXPROCS(0)}
	r.NReaders, r.NWriters = threads(cfg.NReaders), threads(cfg.NWriters)

	var stop atomic.Bool
	var reads atomic.Uint64
	var readers sync.WaitGroup
	for range r.NReaders {
		readers.Go(func() {
			var n uint64
			for ; !stop.Load(); n++ {
				g := rcu.ReadLock()
				g.Unlock()
			}
			reads.Add(n)
		})
	}
	pause(ctx, cfg.Holdoff)
	r.MembarNS = membarriers(50)

	gps := rcu.ReadStats().GracePeriods
	all := make([][]float64, r.NWriters)
	begin := sys.Nanotime()
	r.RanNS = int64(crew(r.NWriters, func(id int) {
		w := &gpWriter{cfg: cfg, ctx: ctx, begin: begin}
		if id == 0 {
			w.tell = tell
		}
		all[id] = w.run()
	}))
	r.Batches = rcu.ReadStats().GracePeriods - gps
	stop.Store(true)
	readers.Wait()
	r.Reads = reads.Load()
	r.sum(slices.Concat(all...))
	r.Partial = ctx.Err() != nil
	return r, nil
}

func (r *GPReport) sum(v []float64) {
	r.Measured, r.MeanNS = len(v), kit.Mean(v)
	r.MinNS, r.MaxNS = kit.Quantile(v, 0), kit.Quantile(v, 1)
	r.P50NS, r.P90NS, r.P99NS = kit.Quantile(v, 0.5), kit.Quantile(v, 0.9), kit.Quantile(v, 0.99)
}

// membarriers is the median duration of n of them.
func membarriers(n int) float64 {
	var v []float64
	for range n {
		t := sys.Nanotime()
		sys.Membarrier()
		v = append(v, float64(sys.Nanotime()-t))
	}
	return kit.Median(v)
}

type gpWriter struct {
	cfg   GPConfig
	ctx   context.Context
	tell  Tell
	begin int64
}

// run measures until there is enough, in time and in number.
func (w *gpWriter) run() []float64 {
	var flight chan struct{}
	var mu sync.Mutex
	var v []float64
	add := func(t int64) {
		mu.Lock()
		v = append(v, float64(sys.Nanotime()-t))
		mu.Unlock()
	}
	if w.cfg.Async {
		flight = make(chan struct{}, w.cfg.AsyncMax)
	}
	last := w.begin
	for n := 0; n < maxMeas && w.ctx.Err() == nil; n++ {
		now := sys.Nanotime()
		if n >= minMeas && now-w.begin >= int64(w.cfg.MinRuntime) {
			break
		}
		if now-last > int64(time.Second) {
			last = now
			w.tell.say("%d grace periods of the first writer, %.0f s", n, float64(now-w.begin)/1e9)
		}
		pause(w.ctx, w.cfg.WriterHoldoff)
		t := sys.Nanotime()
		switch {
		case w.cfg.Async:
			flight <- struct{}{}
			t = sys.Nanotime()
			rcu.Call(func() { add(t); <-flight })
		case w.cfg.Exp:
			rcu.SynchronizeExpedited()
			add(t)
		default:
			rcu.Synchronize()
			add(t)
		}
	}
	if w.cfg.Async {
		rcu.Barrier()
	}
	return v
}
