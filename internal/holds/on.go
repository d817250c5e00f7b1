//go:build holds

package holds

import (
	"runtime"
	"sync/atomic"
)

// Enabled reports whether this is a build with the tag holds.
const Enabled = true

// clock returns a time in ns; package sys, which has the system calls, sets it
// before anything is measured.
var clock func() int64
var clockName string

// SetClock sets the clock.
func SetClock(name string, fn func() int64) { clockName, clock = name, fn }

// Clock says what is measured.
func Clock() string { return clockName }

// recording is set between Start and Stop. Outside nothing reads the clock.
var recording atomic.Bool

// Hold is a lock's part of the measurement. Its holder owns it.
type Hold struct {
	sec   section
	g     uintptr
	kind  Kind
	tied  bool // the holder is locked to its thread
	begun bool
}

// section is one that has begun.
type section struct {
	site  *site
	outer int64 // by the clock, before anything was noted; 0: not inside another
	spent int64 // the goroutine's deductions then
	begin int64 // by the clock; set last
}

// Begin begins a hold by goroutine g of the lock with the name.
func (h *Hold) Begin(k Kind, name string, g uintptr) {
	if !recording.Load() {
		return
	}
	if k == Sleeps || k == Mutex {
		runtime.LockOSThread()
		h.tied = true
	}
	h.kind, h.g, h.begun = k, g, true
	h.sec.start(k, name, g, 3)
}

// End ends the hold.
func (h *Hold) End(g uintptr) {
	if !h.begun {
		return
	}
	h.begun = false
	if h.g != g {
		foreign.Add(1)
		return // its holder stays tied to its thread
	}
	h.sec.stop(g)
	if h.tied {
		h.tied = false
		runtime.UnlockOSThread()
	}
}

// foreign counts holds that another goroutine ended.
var foreign atomic.Int64

// maxP is percpu.MaxP.
const maxP = 1 << 13

// pins are the Ps' outermost sections. The goroutine that is pinned to a P owns
// its entry.
var pins [maxP]struct {
	depth int
	sec   section
	begun bool
	_     [128 - 8 - 32 - 8]byte
}

// Pin begins a pinned section on P id. The caller is pinned.
func Pin(id int, g uintptr) {
	p := &pins[id%maxP]
	p.depth++
	if p.depth == 1 && recording.Load() {
		p.begun = true
		p.sec.start(Pinned, "", g, 3)
	}
}

// Unpin ends it.
func Unpin(id int, g uintptr) {
	p := &pins[id%maxP]
	if p.depth == 1 && p.begun {
		p.begun = false
		p.sec.stop(g)
	}
	p.depth--
}

// WaitBegin begins a wait for a lock that spins.
func WaitBegin() int64 {
	if !recording.Load() {
		return 0
	}
	return clock()
}

// WaitEnd ends the wait of goroutine g.
func WaitEnd(begin int64, g uintptr) {
	if begin != 0 {
		purseOf(g).ns.Add(clock() - begin + reading.Load())
	}
}

func (s *section) start(k Kind, name string, g uintptr, skip int) {
	p := purseOf(g)
	s.outer = 0
	if p.depth.Add(1) > 1 {
		s.outer = clock()
	}
	key := key{kind: k, name: name}
	runtime.Callers(skip, key.pcs[:])
	s.site = find(&key)
	s.spent = p.ns.Load()
	s.begin = clock()
}

func (s *section) stop(g uintptr) {
	s.site.spin()
	all := clock() - s.begin
	p := purseOf(g)
	own := all - max(p.ns.Load()-s.spent, 0)
	s.site.record(max(own, 0))
	if own >= Long {
		end := key{kind: s.site.kind, name: s.site.name, end: true}
		runtime.Callers(3, end.pcs[:])
		find(&end).record(own)
	}
	if s.begin&3 == 0 { // as good as random
		begin := clock()
		control.record(clock() - begin)
	}
	if p.depth.Load() > 0 {
		p.depth.Add(-1)
	}
	if s.outer != 0 {
		// From the first reading to this one, and the two halves outside of them,
		// less the section itself, whose own time has a reading in it.
		r := reading.Load()
		p.ns.Add(clock() - s.outer - all + 2*r)
	}
}

// control has empty sections, measured all along, right after others.
var control counts

// purse has what is deducted from the sections that a goroutine is in.
type purse struct {
	g     atomic.Uintptr
	depth atomic.Int32 // sections that it is in
	ns    atomic.Int64
}

// purses is a hash table without chains. A goroutine whose place another one takes
// deducts too little for the sections that it is in then, never too much.
var purses [1 << 12]purse

func purseOf(g uintptr) *purse {
	p := &purses[g>>6%uintptr(len(purses))]
	if p.g.Load() != g {
		p.g.Store(g)
		p.depth.Store(0)
		p.ns.Store(0)
	}
	return p
}
