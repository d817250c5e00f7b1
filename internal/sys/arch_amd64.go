package sys

// ExitIsRelease: on amd64 (TSO) a store becomes visible after every earlier
// load of the same thread was satisfied, so the plain store that ends a
// read-side section is a release and a grace period needs no second barrier.
const ExitIsRelease = true
