package lockdep

import "quiesce/internal/depcheck"

// WaitType says how a wait is done: what waiting for a lock needs (its outer
// type), or what its holder may still wait for (its inner type). Wait types are
// ordered: a lock may be taken if its outer type is at most the lowest inner type
// in force.
//
// Linux: enum lockdep_wait_type.
type WaitType = depcheck.WaitType

// The wait types. With QUIESCE=prove_raw_lock_nesting=0 WaitConfig is the same
// as WaitSpin.
const (
	WaitInvalid WaitType = depcheck.WaitInvalid // not checked
	WaitFree    WaitType = depcheck.WaitFree    // needs nothing: read-side sections
	WaitSpin    WaitType = depcheck.WaitSpin    // spins, in any context: lock.Raw
	WaitConfig  WaitType = depcheck.WaitConfig  // spins or sleeps, by preempt_rt: lock.Spin
	WaitSleep   WaitType = depcheck.WaitSleep   // sleeps: lock.Mutex
)

// Kind says how a Type takes part in the check of wait types.
type Kind = depcheck.Kind

const (
	// Normal lowers the context to the type's inner wait type.
	Normal Kind = depcheck.Normal
	// PerCPU is Normal for locks of which each P has its own, as lock.Local:
	// the search for irq inversions skips them.
	PerCPU Kind = depcheck.PerCPU
	// WaitOverride sets the context to the inner wait type even if that is
	// higher. It annotates code that is right for a reason lockdep can't see. In
	// an interrupt handler it says that none is running. It does not override a
	// goroutine that is really pinned.
	WaitOverride Kind = depcheck.WaitOverride
)

// Type is a kind of lock: what all locks of one implementation have in common.
// Types are compared by address, so make each a package-level variable.
type Type struct {
	Name  string   // in reports, and in the name of an unnamed lock's class
	Inner WaitType // what holders may wait for
	Outer WaitType // what taking it needs; WaitInvalid: as Inner
	Kind  Kind
}

// How says how a lock is taken; combine the constants with |.
type How uint16

const (
	Exclusive How = How(depcheck.Exclusive) // as a writer, or a lock that has no readers
	Read      How = How(depcheck.Read)      // as a reader that queues behind waiting writers
	Recursive How = How(depcheck.Recursive) // with Read: as a reader that does not
	Try       How = How(depcheck.Try)       // without waiting, after it succeeded
)

// Subclass orders locks of one class: while a lock of a lower subclass is held,
// one of a higher subclass may be taken. n is 0 to 7.
//
// Linux: the subclass of spin_lock_nested.
func Subclass(n int) How { return How(depcheck.Subclass(n)) }

// Map makes a lock of the program's own known to lockdep. Embed one in each lock
// and call Acquire before the wait, Acquired after it, and Release before the
// lock is free, each only if Enabled. The zero value is the Map of a lock without
// a name, whose class is that of the place where it is first taken. A Map must
// not be copied after first use.
//
// Linux: struct lockdep_map.
type Map struct{ m depcheck.Map }

// Init names the class: all locks of one Type and name are one class. A lock
// that is held is reported.
//
// Context: any.
//
// Linux: lockdep_init_map.
func (m *Map) Init(name string) { m.m.Init(name) }

// Name returns the name that Init gave.
func (m *Map) Name() string { return m.m.Name() }

// Acquire checks that the calling goroutine may take the lock, and counts the
// lock as held from then on. Call it before waiting, so that a deadlock is
// reported rather than met. After a successful TryLock, one Acquire with Try is
// enough.
//
// Context: any.
//
// Linux: lock_acquire.
func (m *Map) Acquire(ty *Type, how How) { m.m.Acquire((*depcheck.Type)(ty), depcheck.How(how)) }

// Acquired records that the wait is over.
//
// Context: any.
//
// Linux: lock_acquired.
func (m *Map) Acquired() { m.m.Acquired() }

// Release ends the goroutine's hold of the lock. Call it before the lock itself
// is released. A lock that another goroutine acquired is reported.
//
// Context: any.
//
// Linux: lock_release.
func (m *Map) Release() { m.m.Release(true) }

// Might checks that the calling goroutine may take the lock, whether it does
// this time or not: Acquire and Release in one.
//
// Context: any.
//
// Linux: might_lock.
func (m *Map) Might(ty *Type, how How) { m.m.Might((*depcheck.Type)(ty), depcheck.How(how), false) }

// Held reports whether the calling goroutine holds the lock. It returns true
// where lockdep can't tell, because it is off or a table is full.
//
// Context: any.
//
// Linux: lock_is_held.
func (m *Map) Held() bool { return m.m.Held() }

// Annotate marks what runs until end is called, for a Map that is no lock: a
// region under some rule of the program's own or, with a WaitOverride type, code
// that is right for a reason lockdep can't see.
//
// Linux: lock_map_acquire_try.
func (m *Map) Annotate(ty *Type) (end func()) { return m.m.Annotate((*depcheck.Type)(ty)) }
