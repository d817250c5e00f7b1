package percpu

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
)

// CPU is the state of one P that readers and contexts use. Every field is
// written by plain stores of the goroutine that is pinned to the P, and read
// by grace-period drivers, which order their reads by sys.Membarrier (package
// rcu has the argument). All of it fits one cache line.
type CPU struct {
	Nest uint64 // depth of pinned sections; > 0 is an RCU read-side section
	QS   uint64 // quiescent states: counts ends of outermost pinned sections

	Lock   [2]uint64 // preemptible readers that entered on this P, by index
	Unlock [2]uint64 // preemptible readers that left on this P, by index

	Reader uint32 // not 0: preemptible readers of this P are counted (see Readers)

	IRQOff     uint32 // depth of sections with interrupts disabled
	IRQPending uint32 // Hardirq calls that wait for interrupts to be enabled
	Hardirq    uint32 // depth of Hardirq handlers that run

	Epoch uint64 // of the outermost pinned section, in race builds only

	_ [Line - 7*8 - 4*4]byte
}

// room is Go memory (zero pages until touched) with a Line to spare: the linker
// aligns to 32 bytes only.
var room [(MaxP + 1) * Line]byte

// mask keeps a P's number in range without a bounds check, which would be a
// panic in a pinned section. Package rcu refuses more Ps.
const mask = MaxP - 1

// cpus is the first whole Line of room. Immutable. It has no line to itself, as
// hot has: one node more in Pin, and preempt.Disable would not be inlined.
var cpus = unsafe.Pointer(&room[-uintptr(unsafe.Pointer(&room))%Line])

func init() {
	// Where every mapping gets huge pages, the first P's state would commit 2 MiB
	// of room.
	const page = 1 << 16
	skip := -uintptr(unsafe.Pointer(&room)) % page
	sys.SmallPages(unsafe.Pointer(&room[skip]), (unsafe.Sizeof(room)-skip)&^(page-1))
}

// readers is the high-water mark of the P numbers on which preemptible
// readers entered. Pinned sections need none: on a P that is gone Nest is 0,
// and Ps that exist are below GOMAXPROCS.
var readers atomic.Int32

// Of returns the state of P id.
func Of(id int) *CPU { return (*CPU)(unsafe.Add(cpus, (id&mask)*Line)) }

// ID returns the number of the P.
func (c *CPU) ID() int { return int((uintptr(unsafe.Pointer(c)) - uintptr(cpus)) >> LineShift) }

// All returns the state of P 0, which those of the others follow at distances of
// Line.
func All() unsafe.Pointer { return cpus }

// Pin pins the goroutine and returns its P's state.
func Pin() *CPU { return (*CPU)(unsafe.Add(cpus, (sys.ProcPin()&mask)*Line)) }

// RaiseReaders raises the high-water mark of preemptible readers to Ps.
func RaiseReaders(ps int) { raise(&readers, int32(ps)) }

// RegisterReader raises the high-water mark of preemptible readers over P id
// and marks its state, so that its readers need not do it again. The caller
// is pinned to P id.
//
//go:norace
func RegisterReader(id int) {
	raise(&readers, int32(id)+1)
	Of(id).Reader = 1 // ord:mark
}

// Readers returns the high-water mark of preemptible readers.
func Readers() int { return int(readers.Load()) } // ord:mark

// findStretch is how many Ps' states one FindReaders reads. The first reads of
// the whole table are page faults, 2,048 of them: 70 ms were measured.
const findStretch = 1024

// FindReaders raises the high-water mark over Ps on which readers only left,
// which don't check the mark. It reads the next stretch of P numbers from
// *from on, and advances that: a whole round takes 64 calls.
//
//go:norace
func FindReaders(from *int) {
	begin := max(*from&mask, Readers())
	end := min(begin+findStretch, MaxP)
	*from = end
	for id := begin; id < end; id++ {
		c := Of(id)
		if atomic.LoadUint64(&c.Unlock[0])|atomic.LoadUint64(&c.Unlock[1]) != 0 { // ord:unlock
			raise(&readers, int32(id)+1)
		}
	}
}
