package depcheck

// WaitType says how a wait is done: what waiting for a lock needs (its outer
// type), or what its holder may still wait for (its inner type). Wait types are
// ordered: a lock may be taken if its outer type is at most the lowest inner type
// in force.
//
// Linux: enum lockdep_wait_type.
type WaitType uint8

// The wait types. With QUIESCE=prove_raw_lock_nesting=0 WaitConfig is the same as
// WaitSpin.
const (
	WaitInvalid WaitType = iota // not checked
	WaitFree                    // needs nothing: read-side sections
	WaitSpin                    // spins, in any context: lock.Raw
	WaitConfig                  // spins or sleeps, by preempt_rt: lock.Spin
	WaitSleep                   // sleeps: lock.Mutex
	waitMax                     // a task without locks
)

// level is the wait type's number in reports, and in comparisons.
func (w WaitType) level() int {
	if w > WaitSpin && !proveRawLockNesting {
		return int(w) - 1
	}
	return int(w)
}

// Kind says how a Type takes part in the check of wait types.
type Kind uint8

const (
	// Normal lowers the context to the type's inner wait type.
	Normal Kind = iota
	// PerCPU is Normal for locks of which each P has its own, as lock.Local:
	// the search for irq inversions skips them.
	PerCPU
	// WaitOverride sets the context to the inner wait type even if that is
	// higher. It annotates code that is right for a reason lockdep can't see. In
	// an interrupt handler it says that none is running. It does not override a
	// goroutine that is really pinned.
	WaitOverride
)

// Type is a kind of lock or section: what all locks of one implementation have in
// common. Types are compared by address.
type Type struct {
	Name  string   // in reports, and in the name of an unnamed lock's class
	Inner WaitType // what holders may wait for
	Outer WaitType // what taking it needs; WaitInvalid: as Inner
	Kind  Kind
}

func (t *Type) outer() WaitType {
	if t.Outer == WaitInvalid {
		return t.Inner
	}
	return t.Outer
}

// SectionType is a type of read-side or pinned sections, all of which are one
// class.
type SectionType struct {
	Type
	dep Map
}

func newSectionType(name string, inner WaitType) *SectionType {
	return &SectionType{Type{Name: name, Inner: inner, Outer: WaitFree}, Map{name: name}}
}

// The types of the library's locks and sections.
var (
	Raw   = &Type{Name: "lock.Raw", Inner: WaitSpin}
	Spin  = &Type{Name: "lock.Spin", Inner: WaitConfig}
	RW    = &Type{Name: "lock.RW", Inner: WaitConfig}
	Mutex = &Type{Name: "lock.Mutex", Inner: WaitSleep}
	Local = &Type{Name: "lock.Local", Inner: WaitConfig, Kind: PerCPU}

	// Read-side sections may begin anywhere. That of ReadLock is preemptible; a
	// pinned one is not.
	RCU             = newSectionType("rcu_read_lock", WaitConfig)
	RCUBH           = newSectionType("rcu_read_lock_bh", WaitConfig)
	PreemptDisabled = newSectionType("preempt_disable", WaitSpin)
)

// How says how a lock is taken; combine the constants with |.
type How uint16

const (
	Exclusive How = 0         // as a writer, or a lock that has no readers
	Read      How = 1 << iota // as a reader that queues behind waiting writers
	Recursive                 // with Read: as a reader that does not
	Try                       // without waiting, after it succeeded
	Pins                      // it pins its holder: one level of preempt.Disable
	Pins2                     // it pins its holder: two levels
)

// Subclass orders locks of one class: while a lock of a lower subclass is held, one
// of a higher subclass may be taken. n is 0 to 7.
//
// Linux: the subclass of spin_lock_nested.
func Subclass(n int) How { return How(n&7) << subclassShift }

const subclassShift = 8

func (h How) read() uint8 {
	switch {
	case h&Read == 0:
		return readNone
	case h&Recursive != 0:
		return readRecursive
	}
	return readPlain
}

// How a held lock was taken.
const (
	readNone uint8 = iota
	readPlain
	readRecursive
)
