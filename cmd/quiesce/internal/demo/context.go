package demo

import (
	"quiesce/cmd/quiesce/internal/kit/pinned"
	"quiesce/preempt"
)

// contextKind is a context that FreeRCU is called in.
type contextKind int

const (
	plain contextKind = iota
	rawLock
	preemptOff
	irqOff
	hardirq
	contexts
)

// weights are the odds of each context, in 100.
var weights = [contexts]int{plain: 40, rawLock: 15, preemptOff: 15, irqOff: 15, hardirq: 15}

// draw picks a context for a number of 0 to 99.
func draw(n int) contextKind {
	for c, w := range weights {
		if n -= w; n < 0 {
			return contextKind(c)
		}
	}
	return plain
}

// in runs op in context c. All but plain are pinned: op must not block, print
// or panic, and takes no argument so that no closure is made.
func (w *writer) in(c contextKind, op func()) {
	switch c {
	case plain:
		op()
	case rawLock:
		w.j.raw.Lock()
		op()
		w.j.raw.Unlock()
	case preemptOff:
		pinned.Preempt(op)
	case irqOff:
		pinned.IRQ(op)
	case hardirq:
		preempt.Hardirq(op)
	}
}
