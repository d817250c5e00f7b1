//go:build cgo

package leaves

// void leavesCall(void);
// static void leavesCallback(void) { leavesCall(); }
import "C"

import "sync"

var called struct {
	sync.Mutex
	fn func()
}

//export leavesCall
func leavesCall() { called.fn() }

// fromC calls fn in a call from C.
func fromC(fn func()) {
	called.Lock()
	defer called.Unlock()
	called.fn = fn
	C.leavesCallback()
}
