package compare

import (
	"sync/atomic"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/sys"
	"quiesce/page"
)

// pool is a buddy allocator of pages whose one lock is the strategy's choice.
// It represents the page allocator with another kind of zone lock, and does
// under it what that one does: it splits and merges blocks. Its memory comes
// from the instance's page allocator in blocks of 2 MiB, which a worker adds
// when few pages are left, because that takes locks that sleep.
//
// The lists of free blocks hold page numbers and lie out of line; nothing under
// the lock touches a page or allocates.
type pool struct {
	in   *Instance
	lock poolLock // protects all but base, many and what is atomic
	base [poolBlocks]unsafe.Pointer
	many atomic.Uint32 // blocks

	free  [page.MaxOrder + 1][]uint32 // first pages of free blocks
	place []uint32                    // of a free block in its list
	order []uint8                     // of a free block, plus 1; 0: not one
	left  int                         // free pages

	growing atomic.Bool
	workers atomic.Int32
	grown   atomic.Uint64

	// Pages that a put could not free without waiting, by a lock-free stack.
	late atomic.Uintptr
}

// poolLock is a lock.Raw or a lock.Spin.
type poolLock interface {
	Init(name string)
	LockIRQ()
	UnlockIRQ()
	TryLock() bool
	Unlock()
}

const (
	poolBlocks = 64
	blockPages = 1 << page.MaxOrder
	poolLow    = 64 // pages; fewer have a block added
)

func newPool(in *Instance, name string, l poolLock) (*pool, error) {
	l.Init(name)
	p := &pool{in: in, lock: l}
	p.place = make([]uint32, poolBlocks*blockPages)
	p.order = make([]uint8, poolBlocks*blockPages)
	for o := range p.free {
		p.free[o] = make([]uint32, 0, poolBlocks*blockPages>>o)
	}
	p.grow(gfp.Kernel)
	if p.many.Load() == 0 {
		return nil, errNoBlock
	}
	return p, nil
}

// onPool makes a batcher whose arrays come from a pool with lock l, by way of.
func onPool(in *Instance, name string, l poolLock, way func(*pool) source) (engine, error) {
	p, err := newPool(in, name, l)
	if err != nil {
		return nil, err
	}
	return newBatcher(in, way(p)), nil
}

type poolError string

func (e poolError) Error() string { return string(e) }

const errNoBlock = poolError("compare: no memory for a pool of pages")

// grow adds a block, one at a time.
//
// Context: task; not pinned.
func (p *pool) grow(f gfp.Flags) {
	n := p.many.Load()
	if n == poolBlocks {
		return
	}
	b := p.in.pages.Alloc(page.MaxOrder, f|gfp.NoWarn)
	if b == nil {
		return
	}
	p.base[n] = b
	p.lock.LockIRQ()
	p.many.Store(n + 1)
	p.pushLocked(n*blockPages, page.MaxOrder)
	p.left += blockPages
	p.lock.UnlockIRQ()
}

// wantMore starts a worker that adds a block.
//
// Context: any.
func (p *pool) wantMore() {
	if !p.growing.Load() && p.growing.CompareAndSwap(false, true) {
		p.workers.Add(1)
		go func() {
			p.grown.Add(1)
			p.grow(gfp.NoWait)
			p.growing.Store(false)
			p.workers.Add(-1)
		}()
	}
}

// pushLocked, popLocked and dropLocked change the lists.

func (p *pool) pushLocked(pg uint32, order int) {
	p.place[pg], p.order[pg] = uint32(len(p.free[order])), uint8(order+1)
	p.free[order] = append(p.free[order], pg)
}

func (p *pool) popLocked(order int) uint32 {
	pg := p.free[order][len(p.free[order])-1]
	p.dropLocked(pg, order)
	return pg
}

func (p *pool) dropLocked(pg uint32, order int) {
	l := p.free[order]
	last := l[len(l)-1]
	l[p.place[pg]], p.place[last] = last, p.place[pg]
	p.free[order], p.order[pg] = l[:len(l)-1], 0
}

// takePageLocked splits the smallest free block.
func (p *pool) takePageLocked() (pg uint32, ok bool) {
	for order := range p.free {
		if len(p.free[order]) == 0 {
			continue
		}
		pg = p.popLocked(order)
		for order--; order >= 0; order-- {
			p.pushLocked(pg+1<<order, order)
		}
		p.left--
		return pg, true
	}
	return 0, false
}

// putPageLocked merges a page with its buddies.
func (p *pool) putPageLocked(pg uint32) {
	p.left++
	order := 0
	for ; order < page.MaxOrder; order++ {
		buddy := pg ^ 1<<order
		if p.order[buddy] != uint8(order+1) {
			break
		}
		p.dropLocked(buddy, order)
		pg &= buddy
	}
	p.pushLocked(pg, order)
}

// takeLocked and putLocked are one page's way through the pool.
func (p *pool) takeLocked() *array {
	p.flushLocked()
	pg, ok := p.takePageLocked()
	if !ok {
		return nil
	}
	a := (*array)(unsafe.Add(p.base[pg/blockPages], uintptr(pg%blockPages)<<page.Shift))
	a.block = pg / blockPages
	return a
}

func (p *pool) putLocked(a *array) {
	off := a.addr() - uintptr(p.base[a.block])
	p.putPageLocked(a.block*blockPages + uint32(off>>page.Shift))
}

// flushLocked frees the pages that came late.
func (p *pool) flushLocked() {
	if p.late.Load() == 0 {
		return
	}
	for a := arrayAt(p.late.Swap(0)); a != nil; {
		next := arrayAt(a.next)
		p.putLocked(a)
		a = next
	}
}

// putLate leaves a page to the next holder of the lock.
func (p *pool) putLate(a *array) {
	for {
		head := p.late.Load()
		a.next = head
		if p.late.CompareAndSwap(head, a.addr()) {
			return
		}
	}
}

func (p *pool) hurry()          {}
func (p *pool) wakeups() uint64 { return p.grown.Load() }

func (p *pool) contend(fn func()) {
	p.lock.LockIRQ()
	fn()
	p.lock.UnlockIRQ()
}

func (p *pool) close() error {
	for p.workers.Load() > 0 {
		sys.Sleep(100_000)
	}
	p.flushLocked()
	if all := int(p.many.Load()) * blockPages; p.left != all {
		return poolError("compare: pages of a pool are missing")
	}
	for _, b := range p.base[:p.many.Load()] {
		p.in.pages.Free(b, page.MaxOrder)
	}
	return nil
}
