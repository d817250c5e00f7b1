package depcheck

import (
	"sync/atomic"

	"quiesce/internal/percpu"
	"quiesce/internal/sys"
)

// held is a lock that a goroutine holds or waits for, or a section it is in.
type held struct {
	id    uint64 // of the Map or the Section
	chain uint64 // key of what was held before
	addr  uintptr
	class uint16
	read  uint8
	flags uint8
	ctx   uint8 // the interrupt context that it was taken in
	pins  uint8 // levels of preempt.Disable that it represents
	n     uint8 // stack entries
	pcs   [stackDepth]uintptr
}

const (
	flagTried   = 1 << iota // got by a TryLock
	flagWaiting             // not got yet
	flagSection             // a section: takes no part in orders
	flagIrqsOff             // taken with interrupts disabled
)

// Interrupt contexts, one of which may interrupt the other.
const (
	ctxSoftirq = 1 << iota
	ctxHardirq
)

// task is a goroutine that holds something or is in a context. mu protects it: its
// goroutine locks mu, and so does another one that ends a section in its place.
// Methods need mu held. The shard's lock protects the lists. Tasks are recycled,
// possibly onto another list: after finding one, recheck goid under mu.
type task struct {
	mu   spin
	next *task // of the shard's list
	goid uint64

	gen   uint32 // of the tables: a task of an older generation holds nothing
	depth int32
	chain uint64 // key of the locks held in this interrupt context

	hardirq, threaded, softirq int32 // depth of handlers
	irqsOff, bhOff             int32 // depth of sections, as lockdep sees them
	pins                       int32 // levels of preempt.Disable that records represent
	lost                       int32 // locks and sections for which a table had no room

	undelivered atomic.Pointer[Report] // a report from a pinned section

	small [8]held
	more  *[maxHeld - 8]held
}

const shards = 256

type shard struct {
	mu   spin
	list *task
	idle *task // a few to be recycled
	n    int
	_    [64 - 4 - 3*8 - 4]byte
}

var (
	taskShards [shards]shard
	tasks      atomic.Int32
)

// at returns record i.
//
//go:norace
func (t *task) at(i int32) *held {
	if i < int32(len(t.small)) {
		return &t.small[i]
	}
	return &t.more[i-int32(len(t.small))]
}

// reset forgets the records. The goroutine is still in its contexts, and will
// leave them.
//
//go:norace
func (t *task) reset(gen uint32) {
	for i := range t.depth {
		t.explain(-int32(t.at(i).pins))
	}
	t.gen, t.depth, t.chain, t.lost = gen, 0, 0, 0
}

// current reports whether the classes of the task's records still exist: no Reset
// has come in between. graph is held.
//
//go:norace
func (t *task) current() bool { return t.gen == tables.gen.Load() }

// idle reports whether there is nothing to remember.
//
//go:norace
func (t *task) idle() bool {
	return t.depth == 0 && t.hardirq|t.threaded|t.softirq|t.irqsOff|t.bhOff|t.pins|t.lost == 0 && t.undelivered.Load() == nil
}

// context returns the goroutine's interrupt context.
//
//go:norace
func (t *task) context() uint8 {
	c := uint8(0)
	if t.softirq > 0 {
		c = ctxSoftirq
	}
	if t.hardirq > 0 || t.threaded > 0 {
		c |= ctxHardirq
	}
	return c
}

// push adds a record whose class is known to a task that has room.
//
//go:norace
func (t *task) push(h *held) {
	if t.depth >= int32(len(t.small)) && t.more == nil {
		t.more = new([maxHeld - 8]held)
	}
	h.chain = t.chain
	t.chain = t.chainWith(h)
	t.explain(int32(h.pins))
	*t.at(t.depth) = *h
	t.depth++
}

// chainWith returns the key of the chain with h added. A chain begins anew in each
// interrupt context, and sections are not part of it.
//
//go:norace
func (t *task) chainWith(h *held) uint64 {
	if h.flags&flagSection != 0 {
		return t.chain
	}
	key := t.chain
	if t.depth == 0 || t.at(t.depth-1).ctx != h.ctx {
		key = 0
	}
	return mix(key ^ (uint64(h.class) | uint64(h.read)<<16 | uint64(h.ctx)<<20 | 1<<24))
}

// explain adds to the pinned levels that records represent. The end of one that a
// Reset forgot may come too.
//
//go:norace
func (t *task) explain(pins int32) { t.pins = max(t.pins+pins, 0) }

// endLost counts the end of what has no record, and reports whether a full table
// may be the reason.
//
//go:norace
func (r *request) endLost() bool {
	t := r.find(false)
	if t == nil {
		return tables.full.Load()&fullTasks != 0
	}
	lost := t.lost > 0
	if lost {
		t.lost--
	}
	t.mu.unlock()
	r.retire(t)
	return lost || tables.full.Load()&fullTasks != 0
}

// byID returns the innermost record of a lock or section, or -1.
//
//go:norace
func (t *task) byID(id uint64) int32 {
	for i := t.depth - 1; i >= 0; i-- {
		if t.at(i).id == id {
			return i
		}
	}
	return -1
}

// reads reports whether the lock is held for reading.
//
//go:norace
func (t *task) reads(id uint64) bool {
	for i := range t.depth {
		if h := t.at(i); h.id == id && h.read != readNone {
			return true
		}
	}
	return false
}

// remove takes record i out and moves those above it down, with new keys.
//
//go:norace
func (t *task) remove(i int32) {
	n := t.depth
	t.explain(-int32(t.at(i).pins))
	t.depth, t.chain = i, t.at(i).chain
	for i++; i < n; i++ {
		h := t.at(i)
		t.explain(-int32(h.pins))
		t.push(h)
	}
}

// Searches through all tasks, for rare events: a section or lock that ends on
// another goroutine, and Init of a lock that was used.

// removeAnywhere removes the record from the goroutine that holds it, and returns
// that goroutine, or 0.
//
//go:norace
func removeAnywhere(id uint64, out *held) (goid uint64) { return visit(id, out, true) }

// visit finds the record of a lock that is held, not waited for, and returns its
// goroutine, or 0.
//
//go:norace
func visit(id uint64, out *held, remove bool) (goid uint64) {
	gen := tables.gen.Load()
	for i := range taskShards {
		s := &taskShards[i]
		s.mu.lock()
		for t := s.list; t != nil && goid == 0; t = t.next {
			t.mu.lock()
			if t.gen == gen {
				if j := t.byID(id); j >= 0 && t.at(j).flags&flagWaiting == 0 {
					goid = t.goid
					if out != nil {
						*out = *t.at(j)
					}
					if remove {
						t.remove(j)
					}
				}
			}
			t.mu.unlock()
		}
		s.mu.unlock()
		if goid != 0 {
			return goid
		}
	}
	return 0
}

// forgetTasks is the part of Reset that is about tasks. The generation has
// changed, so that no task holds anything; those that are in no context either
// leave the list.
//
//go:norace
func forgetTasks() {
	gen := tables.gen.Load()
	for i := range taskShards {
		s := &taskShards[i]
		s.mu.lock()
		for p := &s.list; *p != nil; {
			t := *p
			t.mu.lock()
			if t.gen != gen {
				t.reset(gen)
			}
			if t.idle() {
				*p = t.next
				t.goid = 0
				tasks.Add(-1)
			} else {
				p = &t.next
			}
			t.mu.unlock()
		}
		s.mu.unlock()
	}
}

// bare returns the number of pinned levels that no record represents: sections of
// preempt.Disable, DisableIRQ or Hardirq, of which -tags lockdep sees only the
// first. It returns 0 where something has no record because a table was full.
//
//go:norace
func (t *task) bare() int32 {
	if t.lost > 0 {
		return 0
	}
	nest := int32(percpu.Pin().Nest)
	sys.ProcUnpin()
	return nest - t.pins
}
