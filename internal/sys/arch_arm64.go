package sys

// ExitIsRelease: on arm64 a load inside a read-side section may be satisfied
// after the plain store that ends the section became visible. The updater
// pays for the missing order with a second membarrier.
const ExitIsRelease = false

// HasFence says that Fence is a full memory barrier. On arm64 Go has none: a load may be
// satisfied before the store of a read-modify-write that it follows.
const HasFence = false

// Fence is not to be called.
func Fence() {}
