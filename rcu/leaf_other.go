//go:build !linux || (!amd64 && !arm64)

package rcu

func leafLock() (state uint64) { return lockPinned() }

func leafUnlock(guard *Guard) { unlockPinned(guard) }
