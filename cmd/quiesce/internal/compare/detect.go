package compare

import (
	"quiesce/gfp"
	"quiesce/preempt"
)

// detect is alternative 1. That a caller is pinned is known here from the word
// that RCU's pinned readers count in anyway, which costs slow paths one load;
// Tracking measures what it would cost those who do not count.
type detect struct{ zone }

func newDetect(in *Instance) (engine, error) {
	return newBatcher(in, detect{zone{in, gfp.NoWait | gfp.NoWarn}}), nil
}

func (d detect) get() *array {
	if preempt.Atomic() {
		return nil
	}
	return d.zone.get()
}
