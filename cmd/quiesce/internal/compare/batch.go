package compare

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/page"
	"quiesce/rcu"
)

// array is a page of objects that wait. Its memory was something else before,
// so it has numbers where Go would have pointers.
type array struct {
	next   uintptr // the next one of a record, or of a pool
	cookie rcu.Cookie
	n      uint32
	block  uint32 // where the page is in its pool
	obj    [arrayCap]uintptr
}

const arrayCap = (page.Size - 24) / 8 // 509

func arrayAt(u uintptr) *array { return *(**array)(unsafe.Pointer(&u)) }

func (a *array) addr() uintptr { return uintptr(unsafe.Pointer(a)) }

// objects are what is in the array, for FreeBulk.
func (a *array) objects() []*Object {
	return unsafe.Slice((**Object)(unsafe.Pointer(&a.obj[0])), int(a.n))
}

// source is where arrays come from.
type source interface {
	get() *array  // in the caller's context; nil: none is available
	put(a *array) // back from the reclaimer, or not needed. Any context
	hurry()       // memory is short
	wakeups() uint64
	contend(fn func())
	close() error
}

// record is what waits on one P, the kernel's kfree_rcu_cpu.
type record struct {
	lock lock.Raw
	cur  *array // fills; nil: none
	// Closed arrays, the oldest first.
	first, last *array
	list        uintptr // of objects, the youngest first
	listed      uint64  // objects ever put on it
	stored      uint64  // objects ever put into arrays
	_           [128]byte
}

// records is the number of them; Ps beyond share.
const records = 64

// drainNS is how long the worker lets objects gather before a grace period
// when no array is full; slab's drain is of the same order. Untuned.
const drainNS = 4_000_000

// batcher is kfree_rcu of Linux 5.7 to 6.17, except for where arrays come from.
type batcher struct {
	in  *Instance
	src source

	running atomic.Bool // the worker is there
	soon    atomic.Bool // it should not sleep first
	wake    atomic.Uint64
	done    atomic.Uint64 // objects returned to the allocator

	reclaimMu lock.Mutex
	record    [records]record
}

func newBatcher(in *Instance, src source) *batcher {
	b := &batcher{in: in, src: src}
	b.reclaimMu.Init("compare.reclaimMu")
	for i := range b.record {
		b.record[i].lock.Init("compare.record.lock")
	}
	return b
}

// here locks the record of the P that the caller runs on. Interrupts are off
// under the lock: a handler may free too.
func (b *batcher) here() *record {
	r := &b.record[sys.ProcPin()%records]
	sys.ProcUnpin() // the lock is what protects it
	r.lock.LockIRQ()
	return r
}

// store puts an object into an array, or else on the list. Any context that
// the source's get may be called in.
func (b *batcher) store(o *Object) {
	r := b.here()
	if r.cur == nil {
		r.lock.UnlockIRQ()
		a := b.src.get()
		if a == nil {
			b.chain(o)
			return
		}
		r = b.here() // another P's by now, perhaps
		if r.cur == nil {
			a.n, a.next = 0, 0
			r.cur, a = a, nil
		}
		if a != nil {
			r.lock.UnlockIRQ()
			b.src.put(a)
			b.store(o) // finds that array, or asks again
			return
		}
	}
	a := r.cur
	a.obj[a.n] = o.addr()
	a.n++
	r.stored++
	n := a.n
	if n == arrayCap {
		r.close()
	}
	r.lock.UnlockIRQ()
	switch n {
	case 1:
		b.start()
	case arrayCap:
		b.now()
	}
}

// close ends the array that fills: its cookie comes after the last object.
func (r *record) close() {
	a := r.cur
	a.cookie = rcu.GetState()
	if r.first == nil {
		r.first = a
	} else {
		r.last.next = a.addr()
	}
	r.last, r.cur = a, nil
}

// chain puts an object on the list: the write to it is the point.
func (b *batcher) chain(o *Object) {
	r := b.here()
	o.next = r.list
	first := r.list == 0
	r.list = o.addr()
	r.listed++
	many := r.listed%arrayCap == 0
	r.lock.UnlockIRQ()
	if many {
		b.now()
	} else if first {
		b.start()
	}
}

// start starts the worker if it is not there. Any context.
func (b *batcher) start() {
	if !b.running.Load() && b.running.CompareAndSwap(false, true) {
		go b.work()
	}
}

func (b *batcher) now() {
	if !b.soon.Load() {
		b.soon.Store(true)
	}
	b.start()
}

func (b *batcher) work() {
	b.wake.Add(1)
	for {
		if !b.soon.Swap(false) {
			sys.Sleep(drainNS)
			b.wake.Add(1)
			b.soon.Store(false)
		}
		if b.reclaim() > 0 {
			continue
		}
		if mayEnd(&b.running, b.pending) {
			return
		}
	}
}

// mayEnd clears a worker's flag, and sets it again unless the worker may end:
// nothing is pending, or there is another worker by now. What was stored before
// pending checks is seen; a caller that stores after it finds the flag clear.
func mayEnd(running *atomic.Bool, pending func() bool) bool {
	running.Store(false)
	return !pending() || !running.CompareAndSwap(false, true)
}

func (b *batcher) pending() bool {
	for i := range b.record {
		r := &b.record[i]
		r.lock.LockIRQ()
		some := r.cur != nil && r.cur.n > 0 || r.first != nil || r.list != 0
		r.lock.UnlockIRQ()
		if some {
			return true
		}
	}
	return false
}

// reclaim collects all that waits, lets a grace period pass, and frees it. It
// returns the number of objects.
func (b *batcher) reclaim() (n uint64) {
	b.reclaimMu.Lock()
	defer b.reclaimMu.Unlock()
	var arrays []*array
	var lists []uintptr
	for i := range b.record {
		r := &b.record[i]
		r.lock.LockIRQ()
		if r.cur != nil && r.cur.n > 0 {
			r.close()
		}
		first, list := r.first, r.list
		r.first, r.last, r.list = nil, nil, 0
		r.lock.UnlockIRQ()
		for a := first; a != nil; a = arrayAt(a.next) {
			arrays = append(arrays, a)
		}
		if list != 0 {
			lists = append(lists, list)
		}
	}
	cookie := rcu.GetState() // of the lists: after they were taken
	for _, a := range arrays {
		rcu.CondSynchronize(a.cookie)
		n += uint64(a.n)
		b.in.cache.FreeBulk(a.objects())
		b.done.Add(uint64(a.n))
		a.n = 0
		b.src.put(a)
	}
	if len(lists) > 0 {
		rcu.CondSynchronize(cookie)
	}
	for _, u := range lists {
		k := uint64(0)
		for o := at(u); o != nil; k++ {
			next := at(o.next) // the miss
			b.in.cache.Free(o)
			o = next
		}
		b.done.Add(k)
		n += k
	}
	return n
}

// The rest of an engine, which strategies take over.

func (b *batcher) free(o *Object)    { b.store(o) }
func (b *batcher) freeRaw(o *Object) { b.store(o) }
func (b *batcher) barrier()          { b.reclaim() }
func (b *batcher) contend(fn func()) { b.src.contend(fn) }

func (b *batcher) hurry() {
	b.src.hurry()
	if b.pending() {
		b.now()
	}
}

func (b *batcher) counts() (c Counts) {
	for i := range b.record {
		r := &b.record[i]
		r.lock.LockIRQ()
		c.Arrays += r.stored
		c.Fallback += r.listed
		r.lock.UnlockIRQ()
	}
	c.Reclaimed = b.done.Load()
	c.Wakeups = b.wake.Load() + b.src.wakeups()
	return c
}

// close waits for the worker's end, and returns the arrays that never held
// anything.
func (b *batcher) close() error {
	for b.running.Load() {
		sys.Sleep(100_000)
	}
	return b.src.close()
}
