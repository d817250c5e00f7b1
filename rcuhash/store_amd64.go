//go:build !race

package rcuhash

import (
	"unsafe"

	"quiesce/internal/fault"
)

// The stores of a bucket's words. On amd64 an ordinary store is a release, which
// is all they need: what needs more (a lock, a claim) is a compare-and-swap. An
// atomic.Store would be an XCHG, of 5 to 10 ns, and a writer does four of them.
// They are functions of their own so that the compiler neither joins nor moves
// them.

//go:noinline
func storeWord(w *uint64, v uint64) { *w = v } // ord:entry,live,moved,bucket-lock

//go:noinline
func storeRef(r *ref, v ref) { *r = v } // ord:entry,overflow

// Those of an entry in a wide bucket are inlined, because the calls cost more than all
// else of a Put. The compiler keeps stores in their order, and joins no two of eight
// bytes. It drops one if the same word is stored again before any load or atomic
// instruction: there is one between any two here.

// pokeWord is storeWord, inlined.
func pokeWord(w *uint64, v uint64) { *w = v } // ord:moved,wide-slot,bucket-lock

// storeEntry stores a value and its key in an entry of a wide bucket, and then the
// bucket's tags.
func storeEntry(e unsafe.Pointer, k, v uint64, low *uint64, tags uint64) {
	*(*uint64)(e) = v
	*keyWord(e) = k // ord:wide-slot
	if fault.Delays {
		fault.Delay("entry")
	}
	*low = tags // ord:entry
}
