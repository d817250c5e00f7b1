package compare

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/lock"
)

// stockCap is the number of pages that each P keeps: rcu_min_cached_objs.
const stockCap = 5

// backOffNS is how long a refill stays away after memory was short:
// rcu_delay_page_cache_fill_msec.
var backOffNS int64 = 5_000_000_000

// stock is one P's pages.
type stock struct {
	lock lock.Raw
	n    int
	page [stockCap]*array
	work atomic.Bool // a refill is on its way
	_    [64]byte
}

// prefill is what Linux 5.11 merged: an enqueue takes a page that was allocated
// in advance; if there is none, the object goes on the list, and a worker refills
// the stock.
type prefill struct {
	zone
	notBefore atomic.Int64 // no refill until then
	refills   atomic.Uint64
	workers   atomic.Int32
	stock     [records]stock
}

func newPrefill(in *Instance) (engine, error) {
	p := &prefill{zone: zone{in, gfp.NoWait | gfp.NoWarn}}
	for i := range p.stock {
		p.stock[i].lock.Init("compare.stock.lock")
	}
	return newBatcher(in, p), nil
}

func (p *prefill) here() *stock {
	s := &p.stock[sys.ProcPin()%records]
	sys.ProcUnpin()
	return s
}

func (p *prefill) get() (a *array) {
	s := p.here()
	s.lock.LockIRQ()
	if s.n > 0 {
		s.n--
		a = s.page[s.n]
	}
	s.lock.UnlockIRQ()
	// One refill at a time for each P, and none while it backs off.
	if a == nil && !s.work.Load() && sys.Nanotime() >= p.notBefore.Load() && s.work.CompareAndSwap(false, true) {
		p.workers.Add(1)
		go p.refill(s)
	}
	return a
}

// refill runs in a clean context: it may take the zone's lock.
func (p *prefill) refill(s *stock) {
	p.refills.Add(1)
	for s.keep(p) {
	}
	s.work.Store(false)
	p.workers.Add(-1)
}

// keep adds a page if there is room.
func (s *stock) keep(p *prefill) bool {
	s.lock.LockIRQ()
	full := s.n == stockCap
	s.lock.UnlockIRQ()
	if full {
		return false
	}
	a := p.zone.get()
	if a == nil {
		return false
	}
	if !s.add(a) {
		freePage(p.in, a)
	}
	return true
}

// add keeps a page, if there is room.
func (s *stock) add(a *array) bool {
	s.lock.LockIRQ()
	defer s.lock.UnlockIRQ()
	if s.n == stockCap {
		return false
	}
	s.page[s.n] = a
	s.n++
	return true
}

// put keeps a page that comes back, if there is room.
func (p *prefill) put(a *array) {
	if !p.here().add(a) {
		freePage(p.in, a)
	}
}

// hurry is the shrinker: it gives the stocks back and has refills back off.
func (p *prefill) hurry() {
	p.notBefore.Store(sys.Nanotime() + backOffNS)
	p.empty()
}

func (p *prefill) empty() {
	for i := range p.stock {
		s := &p.stock[i]
		s.lock.LockIRQ()
		var pages [stockCap]*array
		n := copy(pages[:], s.page[:s.n])
		s.n = 0
		s.lock.UnlockIRQ()
		for _, a := range pages[:n] {
			freePage(p.in, a)
		}
	}
}

func (p *prefill) wakeups() uint64 { return p.refills.Load() }

func (p *prefill) close() error {
	for p.workers.Load() > 0 {
		sys.Sleep(100_000)
	}
	p.empty()
	return nil
}

func freePage(in *Instance, a *array) { in.pages.Free(unsafe.Pointer(a), 0) }
