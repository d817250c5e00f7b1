// Package holds measures how long pinned sections last and how long locks are
// held, in builds with the tag holds. In others its hooks are constant-false
// branches, and a [Hold] takes no room.
//
// # What is measured
//
//	pinned section   from the outermost procPin of a P to its procUnpin
//	lock hold        of a lock.Raw, lock.Spin or lock.Mutex, from the end of its
//	                 acquisition to the beginning of its release
//
// The clock is the CPU time of the thread (CLOCK_THREAD_CPUTIME_ID), so that a
// thread which waits for a processor is not charged for that. It is read by a raw
// system call, which is legal while pinned. Systems other than Linux have the
// real-time clock in its place.
//
// A pinned goroutine keeps its thread. The holder of a lock that sleeps need
// not, so it is locked to its thread for as long as it holds the lock: the thread
// runs nothing else then, and its time is the holder's. A lock that is
// released by another goroutine is not measured, but counted.
//
// # What is deducted
//
// Reading the clock takes longer than most sections. A section that has others
// inside it does not count what measuring those took, for which they read the
// clock twice more, nor the time in which it waits for a lock that spins:
// sys.Pause and sys.Yield report that. Its own first and last reading stay in: an
// empty section lasts as long as one reading of the clock.
//
// Interrupts are charged to the thread that they interrupt, and a hypervisor may
// charge a guest for what it does itself. So figures need a control: sections of
// known work, measured in the same run. Package scale of cmd/quiesce has one.
//
// # Data
//
// A section is counted under its site: kind, name of the lock, and the call
// stack's inner frames. Sites are found by hash, without a lock, and never
// removed. All functions may be called in any context; they allocate nothing.
// The tables are hidden from nobody: a race build with this tag would see order
// where there is none, and is not made.
package holds

// Kind is a kind of section.
type Kind uint8

const (
	Pinned Kind = iota // of a P
	Spins              // a lock whose holder is pinned
	Sleeps             // a lock.Spin with preempt_rt=1
	Mutex              // a lock whose holder may sleep
)

func (k Kind) String() string { return [...]string{"pinned", "spins", "sleeps", "mutex"}[k] }
