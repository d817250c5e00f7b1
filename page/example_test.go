package page_test

import (
	"errors"
	"fmt"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/preempt"
)

// An allocator never holds more memory than its limit.
func Example() {
	a, err := page.New(page.Config{Name: "example", Limit: 4 << 20})
	if err != nil {
		panic(err)
	}
	var blocks []unsafe.Pointer
	for {
		p := a.Alloc(4, gfp.NoWait|gfp.NoWarn) // 16 pages
		if p == nil {
			break
		}
		blocks = append(blocks, p)
	}
	s := a.Stats()
	fmt.Println("within the limit:", s.Peak <= s.Limit)
	fmt.Println("most of it in use:", s.InUse > s.Limit*3/4)

	for _, p := range blocks {
		a.Free(p, 4)
	}
	fmt.Println("Close:", a.Close())
	// Output:
	// within the limit: true
	// most of it in use: true
	// Close: <nil>
}

// pool keeps pages that it can do without.
type pool struct {
	a     *page.Allocator
	pages []unsafe.Pointer
}

// Reclaim frees cached pages when the allocator has no memory left.
func (p *pool) Reclaim(need int64) {
	for need > 0 && len(p.pages) > 0 {
		last := len(p.pages) - 1
		p.a.Free(p.pages[last], 0)
		p.pages = p.pages[:last]
		need -= page.Size
	}
}

// At the limit a gfp.Kernel allocation calls the Reclaimers and takes what they
// free.
func ExampleReclaimer() {
	a, err := page.New(page.Config{Name: "example", Limit: 2 << 20, ReclaimTimeout: 10 * time.Second})
	if err != nil {
		panic(err)
	}
	cache := &pool{a: a}
	a.AddReclaimer(cache)
	for { // fill the cache up to the limit
		p := a.Alloc(0, gfp.NoWait|gfp.NoWarn)
		if p == nil {
			break
		}
		cache.pages = append(cache.pages, p)
	}

	p := a.Alloc(0, gfp.Kernel)
	fmt.Println("got memory at the limit:", p != nil)

	a.Free(p, 0)
	a.RemoveReclaimer(cache)
	cache.Reclaim(a.Stats().Limit)
	fmt.Println("Close:", a.Close())
	// Output:
	// got memory at the limit: true
	// Close: <nil>
}

// With gfp.NoLocks an allocation is legal where nothing may sleep. It is served
// from what this P has cached, or returns nil at once.
func ExampleAllocator_Alloc_noLocks() {
	a, err := page.New(page.Config{Name: "example"})
	if err != nil {
		panic(err)
	}
	pin := preempt.Disable()
	p := a.Alloc(0, gfp.NoLocks|gfp.NoWarn)
	pin.Enable()
	if p == nil { // nothing cached: get the page where waiting is legal
		p = a.Alloc(0, gfp.Kernel)
	}
	fmt.Println("got memory:", p != nil)

	var leak *page.LeakError
	if errors.As(a.Close(), &leak) {
		fmt.Println("pages in use:", leak.Pages)
	}
	a.Free(p, 0)
	fmt.Println("Close:", a.Close())
	fmt.Println("closed already:", errors.Is(a.Close(), page.ErrClosed))
	// Output:
	// got memory: true
	// pages in use: 1
	// Close: <nil>
	// closed already: true
}
