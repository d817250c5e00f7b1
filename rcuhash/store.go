package rcuhash

import (
	"sync/atomic"
)

// The stores of a bucket's words.

func storeWord(w *uint64, v uint64) { atomic.StoreUint64(w, v) } // ord:slot
