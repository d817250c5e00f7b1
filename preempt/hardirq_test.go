package preempt

import "testing"

var hardirqs = deferral{
	handle:  Hardirq,
	disable: func() func() { return DisableIRQ().Restore },
	left:    func() bool { return !Atomic() && !InHardirq() },
}

func TestHardirqWaitsWhileInterruptsAreOffAndRunsInOrder(t *testing.T) {
	hardirqs.check(t, []orderCase{
		{"pinned with interrupts on: runs at once", hardirqs.script("pin A after unpin"), "A after"},
		{"a section that ends pinned still runs them",
			hardirqs.script("pin disable A restore restored unpin"), "A restored"},
	})
}

// Interrupts are off on one P only, and a queued handler runs on the P, and
// on the goroutine, that asked for it.
func TestHardirqQueuesBelongToTheirP(t *testing.T) {
	hardirqs.checkQueues(t, 12, 300, func() {})
}
