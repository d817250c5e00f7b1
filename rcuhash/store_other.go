//go:build !amd64 || race

package rcuhash

import (
	"sync/atomic"
	"unsafe"

	"quiesce/internal/fault"
)

// The stores of a bucket's words.

func storeWord(w *uint64, v uint64) { atomic.StoreUint64(w, v) } // ord:entry,live,moved,bucket-lock

func pokeWord(w *uint64, v uint64) { atomic.StoreUint64(w, v) } // ord:moved,wide-slot,bucket-lock

func storeRef(r *ref, v ref) {
	if unsafe.Sizeof(v) == 4 {
		atomic.StoreUint32((*uint32)(unsafe.Pointer(r)), uint32(v)) // ord:entry,overflow
		return
	}
	atomic.StoreUint64((*uint64)(unsafe.Pointer(r)), uint64(v)) // ord:entry,overflow
}

func storeEntry(e unsafe.Pointer, k, v uint64, low *uint64, tags uint64) {
	*(*uint64)(e) = v
	atomic.StoreUint64(keyWord(e), k) // ord:wide-slot
	fault.Delay("entry")
	atomic.StoreUint64(low, tags) // ord:entry
}
