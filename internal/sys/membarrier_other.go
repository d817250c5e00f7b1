//go:build !linux && !windows

package sys

func membarrierRegister() bool { return false }

func membarrierExpedited() bool { return false }

// Yield spins shortly; this system has no raw call to give the processor up.
func Yield() { Pause(100) }
