package depcheck

// The hooks of contexts, called by package preempt and by the locks that disable
// interrupts. They report what holds whatever preempt_rt is: a lock.Spin taken
// with LockIRQ counts as taken with interrupts off, although they are on with
// preempt_rt=1.

// event is a change of the context. It is a number and not a func, so that the
// request stays on the stack.
type event uint8

const (
	eventIrqsOff event = iota
	eventIrqsOn
	eventBHOff
	eventBHOn
	eventHardirqEnter
	eventHardirqExit
	eventThreadedEnter
	eventThreadedExit
	eventSoftirqEnter
	eventSoftirqExit
)

// change applies the event to the calling goroutine's task and makes the checks
// that go with it. pins is how many levels of preempt.Disable come with the event
// without limiting the context: with preempt_rt=0 softirqs are pinned, and may
// take a lock.Spin.
//
//go:norace
func change(e event, pins int32) {
	var r request
	r.begin()
	if t := r.find(true); t != nil {
		r.apply(t, e)
		t.explain(pins)
		t.mu.unlock()
		r.retire(t)
	}
	r.end()
}

// HardirqsOff records that interrupts are disabled from here on. It nests.
//
// Linux: lockdep_hardirqs_off.
func HardirqsOff() { change(eventIrqsOff, 0) }

// HardirqsOn ends what HardirqsOff began. Locks that are still held are held
// with interrupts on from here on.
//
// Linux: lockdep_hardirqs_on.
func HardirqsOn() { change(eventIrqsOn, 0) }

// BHOff records that softirqs are disabled from here on, and whether that pins
// the goroutine. It nests.
//
// Linux: lockdep_softirqs_off.
func BHOff(pins bool) { change(eventBHOff, int32(bit(pins))) }

// BHOn ends what BHOff began.
func BHOn(pins bool) { change(eventBHOn, -int32(bit(pins))) }

// HardirqEnter records that a hard interrupt handler runs from here on, one that
// stays in hard interrupt context with preempt_rt=1.
//
// Linux: lockdep_hardirq_enter.
func HardirqEnter() { change(eventHardirqEnter, 0) }

// HardirqExit ends what HardirqEnter began.
func HardirqExit() { change(eventHardirqExit, 0) }

// ThreadedEnter records that an interrupt handler runs from here on that is a
// thread with preempt_rt=1 and in hard interrupt context otherwise: it must be
// right in both.
//
// Linux: lockdep_hardirq_threaded.
func ThreadedEnter() { change(eventThreadedEnter, 0) }

// ThreadedExit ends what ThreadedEnter began.
func ThreadedExit() { change(eventThreadedExit, 0) }

// SoftirqEnter records that a softirq handler runs from here on, and whether
// that pins the goroutine.
//
// Linux: lockdep_softirq_enter.
func SoftirqEnter(pins bool) { change(eventSoftirqEnter, int32(bit(pins))) }

// SoftirqExit ends what SoftirqEnter began.
func SoftirqExit(pins bool) { change(eventSoftirqExit, -int32(bit(pins))) }

//go:norace
func (r *request) apply(t *task, e event) {
	switch e {
	case eventIrqsOff:
		t.irqsOff++
	case eventIrqsOn:
		if drop(&t.irqsOff) && t.hardirq == 0 && t.threaded == 0 {
			r.record(3)
			r.markHeld(t, bitOn)
			if t.bhOff == 0 && t.softirq == 0 {
				r.markHeld(t, bitSoftirq+bitOn)
			}
		}
	case eventBHOff:
		t.bhOff++
	case eventBHOn:
		if drop(&t.bhOff) && t.irqsOff == 0 && t.context() == 0 {
			r.record(3)
			r.markHeld(t, bitSoftirq+bitOn)
		}
	case eventHardirqEnter:
		t.hardirq++
	case eventHardirqExit:
		drop(&t.hardirq)
	case eventThreadedEnter:
		t.threaded++
	case eventThreadedExit:
		drop(&t.threaded)
	case eventSoftirqEnter:
		t.softirq++
	case eventSoftirqExit:
		drop(&t.softirq)
	}
}

// drop leaves one level, and reports whether it was the outermost. A Reset may
// have come in between.
//
//go:norace
func drop(depth *int32) bool {
	if *depth > 0 {
		*depth--
	}
	return *depth == 0
}

// markHeld marks the locks that are held while interrupts become enabled.
//
// Linux: mark_held_locks.
//
//go:norace
func (r *request) markHeld(t *task, b uint32) {
	for i := range t.depth {
		h := t.at(i)
		if h.flags&flagSection != 0 {
			continue
		}
		read := uint32(0)
		if h.read != readNone {
			read = bitRead
		}
		r.mark(t, h, 1<<(b+read))
	}
}
