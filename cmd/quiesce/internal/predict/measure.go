package predict

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/internal/sys"
)

// The machine may be shared. So everything is measured in many short windows,
// and what counts is a low quantile: a window in which the system took the
// processor away is far longer. Where a peer must run at the same time, only
// windows count in which it got on.

// alone times windows of batch operations each and returns ns per operation.
func alone(ctx context.Context, windows, batch int, fn func(n int)) float64 {
	fn(batch) // warm
	var v []float64
	for range windows {
		if ctx.Err() != nil {
			break
		}
		t := sys.Nanotime()
		fn(batch)
		v = append(v, float64(sys.Nanotime()-t)/float64(batch))
	}
	return kit.Quantile(v, 0.25)
}

// peer is a goroutine that does one thing until it is stopped.
type peer struct {
	_    [128]byte
	n    atomic.Uint64 // times done
	_    [120]byte
	stop atomic.Bool
	wg   sync.WaitGroup
}

// start runs fn over and over on another P.
func start(fn func()) *peer {
	p := &peer{}
	p.wg.Add(1)
	go func() {
		defer p.wg.Done()
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := uint64(1); !p.stop.Load(); i++ {
			fn()
			p.n.Store(i)
		}
	}()
	for range 1000 {
		if p.n.Load() > 0 {
			break
		}
		sys.Sleep(100_000)
	}
	return p
}

func (p *peer) end() {
	p.stop.Store(true)
	p.wg.Wait()
}

// window is one window next to a peer: the caller's ns per operation, and the
// peer's operations per ns.
type window struct{ ns, rate float64 }

// nextTo is alone, next to a running peer. It also returns the peer's rate. Windows
// should last some microseconds, and the peer's operations less.
func nextTo(ctx context.Context, p *peer, windows, batch int, fn func(n int)) (ns, rate float64) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	fn(batch)
	var all []window
	var rates []float64
	limit := sys.Nanotime() + max(int64(windows)*5_000_000, 1e9)
	for i := 0; i < windows || len(rates) < windows && sys.Nanotime() < limit; i++ {
		if ctx.Err() != nil {
			break
		}
		n, t := p.n.Load(), sys.Nanotime()
		fn(batch)
		d := float64(sys.Nanotime() - t)
		w := window{d / float64(batch), float64(p.n.Load()-n) / d}
		if w.rate > 0 {
			all, rates = append(all, w), append(rates, w.rate)
		}
	}
	// In a short window the peer either ran all the while or not at all, but for
	// few: those in which it ran a part only, and those in which the system took
	// the caller's processor for the peer's sake, which are far longer.
	usual := kit.Quantile(rates, 0.5)
	var nss []float64
	for _, w := range all {
		if w.rate > usual/4 {
			nss = append(nss, w.ns)
		}
	}
	most := 3 * kit.Quantile(nss, 0.1)
	nss, rates = nil, nil
	for _, w := range all {
		if w.rate > usual/4 && w.ns <= most {
			nss, rates = append(nss, w.ns), append(rates, w.rate)
		}
	}
	return kit.Quantile(nss, 0.5), kit.Quantile(rates, 0.5)
}

// ErrBusy says that no two threads of this process ran at the same time.
var ErrBusy = errors.New("predict: the system never ran two threads of this process at the same time: try again on a quieter machine, with two processors")

// besideOf starts a peer three times and takes the round in which the two got in
// each other's way least: where they shared a processor, a round is worthless.
func besideOf(ctx context.Context, peer func(), windows, batch int, fn func(n int)) (ns, rate float64, err error) {
	err = ErrBusy
	for range 3 {
		p := start(peer)
		n, r := nextTo(ctx, p, windows/2, batch, fn)
		p.end()
		if n > 0 && (err != nil || n < ns) {
			ns, rate, err = n, r, nil
		}
	}
	return ns, rate, errors.Join(err, ctx.Err())
}

// procs sets GOMAXPROCS and returns the way back.
func procs(n int) (restore func()) {
	old := runtime.GOMAXPROCS(n)
	return func() { runtime.GOMAXPROCS(old) }
}
