package page

import (
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/pages"
)

// What package slab needs apart from Alloc and Free, and what tests and
// demonstrations need: package internal/pages declares it, this file provides it.

func init() {
	pages.CoreOf = func(a any) *pages.Core { return &a.(*Allocator).core }
}

// bridge is an Allocator as internal/pages sees it.
type bridge Allocator

var _ pages.Allocator = (*bridge)(nil)

func (b *bridge) FreeUnseen(p unsafe.Pointer) { (*Allocator)(b).freeUnseen(p) }
func (b *bridge) FreeQuietly(p unsafe.Pointer, order int) bool {
	return (*Allocator)(b).freeQuietly(p, order)
}
func (b *bridge) Trim(p unsafe.Pointer, order, n int) { (*Allocator)(b).trim(p, order, n) }
func (b *bridge) FreeRunQuietly(p unsafe.Pointer, n int) bool {
	return (*Allocator)(b).freeRunQuietly(p, n)
}
func (b *bridge) WakeAfterFree()            { (*Allocator)(b).wakeAfterFree() }
func (b *bridge) Reclaim(need int64)        { (*Allocator)(b).reclaimOnce(need) }
func (b *bridge) MemoryCame(c pages.Source) { (*Allocator)(b).memoryCame(c) }
func (b *bridge) Wait(c pages.Source, order int, need int64, try func() bool) bool {
	return (*Allocator)(b).wait(c, order, need, try)
}
func (b *bridge) RanLow(bytes int64, maySleep bool) { (*Allocator)(b).ranLow(bytes, maySleep) }
func (b *bridge) Charge(bytes int64) bool           { return (*Allocator)(b).charge(bytes) }
func (b *bridge) Uncharge(bytes int64)              { (*Allocator)(b).uncharge(bytes) }
func (b *bridge) MightAlloc(flags uint32)           { (*Allocator)(b).mightAlloc(gfp.Flags(flags)) }
func (b *bridge) MightReclaim()                     { (*Allocator)(b).mightReclaim() }
func (b *bridge) Closed() bool                      { return b.closed.Load() } // ord:gate
func (b *bridge) SetLimit(bytes int64) {
	a := (*Allocator)(b)
	a.setLimit(bytes)
	if over := a.zone.resident.Load() - bytes; over > 0 { // ord:zone
		a.flushLists()
		a.returnSome(over)
	}
}
func (b *bridge) LockZone()   { b.zone.lock.LockIRQ() }
func (b *bridge) UnlockZone() { b.zone.lock.UnlockIRQ() }
