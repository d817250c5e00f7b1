package sys

import "golang.org/x/sys/windows"

// FlushProcessWriteBuffers is Windows' membarrier: an interrupt to every
// processor that runs a thread of this process.
var flushProcessWriteBuffers = windows.NewLazySystemDLL("kernel32.dll").NewProc("FlushProcessWriteBuffers")

func membarrierRegister() bool { return flushProcessWriteBuffers.Find() == nil }

func membarrierExpedited() bool {
	flushProcessWriteBuffers.Call()
	return true
}

// Yield spins shortly; this system has no raw call to give the processor up.
func Yield() { Pause(100) }
