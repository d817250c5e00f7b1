package sys

// The turns of a wait for a pinned goroutine, untuned.
const (
	pauseTurns = 100 // × 10 PAUSEs
	yieldTurns = 100 // of RelaxUnpinned
	relaxSleep = 20_000
)

// Relax is one turn of a wait for a pinned goroutine; the first is turn 0.
// Only the operating system can hold a pinned goroutine up for long, so after
// some turns of spinning Relax yields the processor. It may be called pinned.
func Relax(turn int) {
	if turn < pauseTurns {
		Pause(10)
	} else {
		Yield() // the other thread may want the processor
	}
}

// RelaxUnpinned is one turn of the same wait for a caller that is not pinned:
// after some more turns it sleeps.
func RelaxUnpinned(turn int) {
	if turn < pauseTurns+yieldTurns {
		Relax(turn)
	} else {
		Sleep(relaxSleep)
	}
}
