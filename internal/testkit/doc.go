// Package testkit has what the tests of several packages share: child
// processes, long forms, the number of Ps, waiting with a deadline, panics, and accesses
// that the race detector does not see. It imports no public package.
package testkit
