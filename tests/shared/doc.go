// Shared counts what the Ps share: the atomic read-modify-writes, the locks taken
// and the membarriers of the library, for 1,000 objects, with 2, 16 and 64 Ps. It is
// for maintainers: what grows with the Ps in this table bends the curve on a machine
// that has as many processors.
//
//	go run ./tests/shared            the tables; some minutes
//	go run ./tests/shared -sites     what is counted, and where
//
// # How it counts
//
// Each operation is found in the library's syntax trees and gets a call of package
// tally around it (instrument.go); go build -overlay compiles these texts in place
// of the files. tests/policy holds that every atomic operation has an ord tag, and
// so a call that has the name of an operation and no tag is something else; a test
// of this package finds the operations in another way and compares. The fast paths
// have no such operation, and so are as they are in any build.
//
// A counter is one atomic word, in a line of its own: it may be used pinned, under
// any lock, and takes none.
package main
