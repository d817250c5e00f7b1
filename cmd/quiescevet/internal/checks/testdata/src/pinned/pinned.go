// Package pinned has what blocks in pinned sections.
package pinned

import (
	"fmt"
	"time"

	"quiesce/gfp"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/slab"
	"vettest/pinned/lib"
)

type table struct {
	mu   lock.Raw
	spin lock.Spin
	n    int
	c    *slab.Cache[[64]byte]
	done chan bool
}

func (t *table) sleeps() {
	p := preempt.Disable()
	time.Sleep(1) // want `calls time.Sleep, which sleeps in the pinned section from preempt.Disable \(line 24\)`
	p.Enable()
}

func (t *table) prints() {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Println(t.n) // want `calls fmt.Println, which writes to standard output while a lock.Raw is held \(line 30\)`
}

func (t *table) waits() {
	s := preempt.DisableIRQ()
	<-t.done // want `receives from a channel in the pinned section`
	s.Restore()
}

func (t *table) selects() {
	t.mu.LockIRQ()
	select { // want `waits in a select while a lock.Raw is held`
	case <-t.done:
	case <-time.After(1):
	}
	t.mu.UnlockIRQ()
}

func (t *table) sends() {
	ch := make(chan int)
	p := preempt.Disable()
	ch <- 1 // want `sends to a channel without a buffer in the pinned section`
	p.Enable()
}

func (t *table) parks() {
	t.mu.Lock()
	t.spin.Lock() // want `calls Spin.Lock, which is documented as "Context: task or softirq; not pinned." while a lock.Raw is held`
	t.spin.Unlock()
	t.mu.Unlock()
}

func (t *table) far() {
	p := preempt.Disable()
	defer p.Enable()
	lib.Deep(1)      // want `calls lib.Deep, which calls lib.Locks, which calls Mutex.Lock, which may wait for the lock`
	lib.Documented() // want `calls lib.Documented, which is documented as`
}

func (t *table) allocates() {
	p := preempt.Disable()
	x := t.c.Alloc(gfp.NoWait) // want `Cache.Alloc with flags that may wait for a lock or for memory, in the pinned section from preempt.Disable \(line 72\): use gfp.NoLocks`
	p.Enable()
	if x != nil {
		t.c.Free(x)
	}
}

func (t *table) interrupt() {
	preempt.Hardirq(func() {
		time.Sleep(1) // want `calls time.Sleep, which sleeps in the pinned section from preempt.Hardirq`
	})
}

// From here on all is right.

func (t *table) fine(n int) {
	p := preempt.Disable()
	x := t.c.Alloc(gfp.NoLocks)
	if x != nil {
		t.c.Free(x)
	}
	lib.Sometimes(n)
	lib.Early(n)
	p.Enable()
	time.Sleep(1)
}

func (t *table) lets() {
	t.mu.Lock()
	lib.Lets(&t.mu)
	time.Sleep(1)
}

func (t *table) polls() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.done:
		return true
	default:
		return false
	}
}

func (t *table) branches(n int) {
	t.mu.Lock()
	if n > 3 {
		t.mu.Unlock()
		lib.Locks()
		return
	}
	t.n++
	t.mu.Unlock()
}

func (t *table) starts() {
	p := preempt.Disable()
	go time.Sleep(1)
	ch := make(chan int, 1)
	ch <- 1
	p.Enable()
}

func all(ts []*table) {
	for i := range ts {
		ts[i].mu.Lock()
	}
	for i := range ts {
		ts[i].mu.Unlock()
	}
	time.Sleep(1)
}

func (t *table) sometimes(pin bool) {
	var p preempt.Pinned
	if pin {
		p = preempt.Disable()
	}
	if !pin {
		time.Sleep(1)
	}
	if pin {
		p.Enable()
	}
}
