package fault

import (
	"math/rand/v2"
	"quiesce/internal/option"
	"sync"
	"sync/atomic"
)

// Attr says how often a point fails. The zero value is never.
//
// Linux: fault_attr.
type Attr option.Fault

// ParseAttr reads percent[:interval[:times[:space]]].
func ParseAttr(s string) (Attr, error) {
	f, err := option.ParseFault(s)
	return Attr(f), err
}

// Point is a place where allocations can be made to fail.
type Point struct {
	name string // immutable

	armed    atomic.Bool // attr can fail something, or Nth counts
	attr     atomic.Pointer[Attr]
	chances  atomic.Int64 // since attr was set
	times    atomic.Int64 // failures left
	space    atomic.Int64 // bytes left
	injected atomic.Uint64

	mu    sync.Mutex
	watch func(armed bool) // protected by mu; called under it
}

// The points.
var (
	Slab = &Point{name: "failslab"}
	Page = &Point{name: "fail_page_alloc"}
)

func init() {
	for _, p := range []*Point{Slab, Page} {
		if _, ok := option.Text(p.name); ok {
			p.Set(Attr(option.FaultAttr(p.name)))
		}
	}
}

// Set sets how often the point fails and resets its counts.
//
// Context: task; not pinned.
func (p *Point) Set(a Attr) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.attr.Store(&a)
	p.chances.Store(0)
	p.times.Store(a.Times)
	p.space.Store(a.Space)
	p.armLocked()
}

// Watch calls fn now, and whenever the point is armed or disarmed. It is for
// code that can't afford to check the point every time.
//
// Context: task; not pinned.
func (p *Point) Watch(fn func(armed bool)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watch = fn
	fn(p.armed.Load())
}

// armLocked computes armed.
func (p *Point) armLocked() {
	a := p.attr.Load()
	armed := a != nil && a.Probability > 0 || nth.Load() > 0
	p.armed.Store(armed)
	if p.watch != nil {
		p.watch(armed)
	}
}

// Fail reports whether this allocation of so many bytes has to fail.
//
// Context: any.
func (p *Point) Fail(bytes int64) bool {
	return p.armed.Load() && p.fail(bytes)
}

func (p *Point) fail(bytes int64) bool {
	if nth.Load() > 0 && nth.Add(-1) == 0 {
		p.injected.Add(1)
		return true
	}
	a := p.attr.Load()
	if a == nil || a.Probability <= 0 {
		return false
	}
	if a.Space > 0 && p.space.Load() > 0 {
		p.space.Add(-bytes)
		return false
	}
	if a.Interval > 1 && p.chances.Add(1)%a.Interval != 0 {
		return false
	}
	if a.Probability < 100 && rand.Float64()*100 >= a.Probability {
		return false
	}
	if a.Times > 0 && p.times.Add(-1) < 0 {
		return false
	}
	p.injected.Add(1)
	return true
}

// Injected returns how often the point has failed so far.
func (p *Point) Injected() uint64 { return p.injected.Load() }

// nth counts down to the allocation that has to fail. At and below 0: none.
var nth atomic.Int64

// Nth makes the n-th allocation from now on fail, counted over all points and
// goroutines; 0 cancels it. It reports whether the failure of the last Nth has
// happened.
//
// Context: task; not pinned.
func Nth(n int64) (failed bool) {
	failed = nth.Swap(n) <= 0
	for _, p := range []*Point{Slab, Page} {
		p.mu.Lock()
		p.armLocked()
		p.mu.Unlock()
	}
	return failed
}

var resize atomic.Bool

// SetResize has maps grow with every insertion and shrink with every deletion, as
// far as they can: those that are made from now on, and others from their next
// table on.
func SetResize(on bool) { resize.Store(on) }

// Resize reports what SetResize was last called with.
func Resize() bool { return resize.Load() }
