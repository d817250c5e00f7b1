// Package pages is the part of the page allocator that package slab shares
// with it: the metadata of every page, three bitmaps over the range, and the
// calls that a user of package page has no use for. The allocator itself is
// package page; its locks are those of package lock, which no internal package
// may import.
//
// An allocator's Core is reached by [CoreOf], which package page provides:
//
//	core := pages.CoreOf(allocator) // allocator is a *page.Allocator
//	m := core.Meta(core.PageOf(p))
//
// A Core lies in its Allocator and its addresses never change, so slab takes
// it once a cache, and every access after that is address arithmetic.
package pages
