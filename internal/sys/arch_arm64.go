package sys

// ExitIsRelease: on arm64 a load inside a read-side section may be satisfied
// after the plain store that ends the section became visible. The updater
// pays for the missing order with a second membarrier.
const ExitIsRelease = false
