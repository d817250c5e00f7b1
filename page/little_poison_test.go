//go:build poison

package page

// little is an address space in KiB that is hardly enough. The checks of package
// slab, which other tests here import, take a part of it.
const little = 2_000_000
