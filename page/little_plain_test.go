//go:build !poison

package page

// little is an address space in KiB that is hardly enough.
const little = 1_700_000
