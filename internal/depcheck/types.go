package depcheck

// WaitType says what waiting a lock needs (outer) or leaves to those who hold
// it (inner). They are ordered: a lock may be taken where its outer type is at
// most the lowest inner type that is in force. The kernel's lockdep_wait_type.
type WaitType uint8

// The wait types. With prove_raw_lock_nesting=0 Config is the same as Spin.
const (
	WaitInvalid WaitType = iota // not checked
	WaitFree                    // needs nothing: read-side sections
	WaitSpin                    // spins, in any context: lock.Raw
	WaitConfig                  // spins or sleeps, by preempt_rt: lock.Spin
	WaitSleep                   // sleeps: lock.Mutex
	waitMax                     // a task without locks
)

// level is the number that reports show, and the order that counts.
func (w WaitType) level() int {
	if w > WaitSpin && !proveRawLockNesting {
		return int(w) - 1
	}
	return int(w)
}

// Kind says how a type takes part in the check of wait types.
type Kind uint8

const (
	// Normal lowers the context to the type's inner wait type.
	Normal Kind = iota
	// PerCPU is for lock.Local: as Normal, and left out of the search for
	// irq inversions, because a slot is nobody else's.
	PerCPU
	// WaitOverride sets the context to the inner wait type, be it higher: an
	// annotation for code that the checker can't know to be right. In an
	// interrupt handler it says that none runs. It can't override a goroutine
	// that is really pinned.
	WaitOverride
)

// Type is a kind of lock or section. Types are compared by address; the
// package's own are those of lock and rcu, and users may have more for what
// they annotate with a Map.
type Type struct {
	Name  string   // in reports, behind the name of an unnamed lock's class
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

// SectionType is the type of read-side or pinned sections, which are of one
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

	// Read-side sections may begin anywhere. That of ReadLock is preemptible,
	// a pinned one is not.
	RCU             = newSectionType("rcu_read_lock", WaitConfig)
	RCUBH           = newSectionType("rcu_read_lock_bh", WaitConfig)
	PreemptDisabled = newSectionType("preempt_disable", WaitSpin)
)

// How says how a lock is taken; the constants are combined by |.
type How uint16

const (
	Exclusive How = 0         // as a writer, or a lock that has no readers
	Read      How = 1 << iota // as a reader that waits behind waiting writers
	Recursive                 // with Read: as a reader that does not
	Try                       // without waiting, and it was got
	Pins                      // its holder is pinned by it: one level of preempt.Disable
	Pins2                     // by two levels
)

// Subclass tells the order among locks of one class: a lock of a higher
// subclass is taken while one of a lower subclass is held. 0 to 7. The
// kernel's spin_lock_nested.
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
