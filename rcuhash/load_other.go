//go:build !amd64 || race

package rcuhash

import (
	"sync/atomic"
	"unsafe"
)

// The loads of the fast path.

func peekWord(p unsafe.Pointer) uint64 { return atomic.LoadUint64((*uint64)(p)) } // ord:entry,hint,run
func peekRef(p unsafe.Pointer) ref     { return loadRef((*ref)(p)) }              // ord:entry
