// Small has each kind of operation that is counted. "want n" is how often the line's
// operation takes place; a line without it has none.
package main

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"quiesce/lock"
)

type words struct {
	a    atomic.Uint64
	b    uint32
	p    atomic.Pointer[words]
	mu   sync.RWMutex
	spin lock.Spin
}

type box[T any] struct{ v atomic.Pointer[T] }

func (b *box[T]) put(v *T) *T { return b.v.Swap(v) } // ord:x want 2

var global = func() uint64 {
	var n atomic.Uint64
	return n.Add(5) // ord:x want 1
}()

func (w *words) values() (n uint64) {
	n = w.a.Add(1) + uint64(atomic.AddUint32(&w.b, 1))      // ord:x want 2
	for i := 0; i < 3 && !w.a.CompareAndSwap(100, 1); i++ { // ord:x want 3
		w.a.Or(8) // ord:y want 3
	}
	if w.a.CompareAndSwap(w.a.And(^uint64(0)), 7) { // ord:x,y want 2
		atomic.StoreUint32(&w.b, atomic.SwapUint32(&w.b, 9)) // ord:x want 1
	}
	return n
}

// whole is tagged after its signature.
func (w *words) whole() { // ord:z
	w.p.CompareAndSwap(nil, w) // want 1
}

func (w *words) late() (seen uint64) {
	w.a.Store(0)      // ord:x
	defer w.a.Add(10) // ord:x want 1
	return w.a.Load() // ord:x
}

func (w *words) locks() {
	w.mu.Lock() // want 1
	w.mu.Unlock()
	w.mu.RLock() // want 1
	w.mu.RUnlock()
	if w.mu.TryLock() && !w.mu.TryLock() { // want 1
		w.mu.Unlock()
	}
	switch {
	case w.spin.TryLock(): // want 1
		w.spin.Unlock()
	}
	w.spin.LockIRQ() // want 1
	w.spin.UnlockIRQ()
}

type sum struct{ n int }

func (s *sum) Add(n int)  { s.n += n }
func (s *sum) Lock(n int) { s.n -= n }

// others have the names only.
func (w *words) others() *uint32 {
	var wg sync.WaitGroup
	wg.Add(1)
	wg.Done()
	s := sum{cmp.Or(0, 4)}
	s.Add(3)
	s.Lock(2)
	return (*uint32)(unsafe.Add(unsafe.Pointer(&w.b), 0)) // ord:x
}

func main() {
	w, b := new(words), new(box[int])
	w.values()
	w.whole()
	b.put(nil)
	b.put(nil)
	w.locks()
	if seen := w.late(); seen != 0 || w.a.Load() != 10 {
		panic(fmt.Sprint("what is deferred ran at once: ", seen))
	}
	*w.others() = 1
	print1()
	_ = global
}
