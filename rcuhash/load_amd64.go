//go:build !race

package rcuhash

import "unsafe"

// The loads of the fast path, after the atomic load of meta that begins it. On
// amd64 an ordinary load is an acquire, and the compiler moves none above an atomic
// one; each of the next needs what the last has loaded. As atomic loads they could
// not have an address of several parts, which would be one instruction more each.

func peekWord(p unsafe.Pointer) uint64 { return *(*uint64)(p) } // ord:entry,hint,run
func peekRef(p unsafe.Pointer) ref     { return *(*ref)(p) }    // ord:entry
