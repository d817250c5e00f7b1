//go:build !linux

package sys

func membarrierRegister() bool { return false }

func membarrierExpedited() { panic("quiesce: no membarrier on this system") }

// Yield spins shortly; this system has no raw call to give the processor up.
func Yield() { Pause(100) }
