// Mutants breaks the library on purpose, in a few dozen small ways, and shows
// that the tests notice. It is for maintainers of the library: a test suite that
// passes says little until one knows what it would fail on.
//
//	make mutants                                  all of them
//	go run ./tests/mutants -run cookie         those named so
//	go run ./tests/mutants -list               what they are
//
// # The list
//
// The lists, *.toml, are kept by hand. A mutant is a small change of one function,
// the guarantee that it breaks, and the tests that have to fail then. It belongs
// here if a maintainer could make the mistake and a user could be harmed by it: no
// arithmetic is reversed for its own sake. A test of this package, which is part of
// every run of the tests, checks that each mutant's text is in the code exactly
// once, and that its tests exist.
//
// # What is not here
//
// Mutants that do no harm on amd64, or in windows that no test finds with certainty,
// can't be killed by running the code there. The models (formal/README.md) have
// them:
//
//   - membarrier B, and the taker's second and third membarriers: compiled on
//     arm64 only (NO_MB_B, NO_MB_2, NO_MB_3)
//   - the membarrier between the sums in waitForReaders: on amd64 an entry is visible
//     before its exit anyway (NO_MB_SCAN)
//   - the cookie by a plain load: on amd64 it is a use after free, but only
//     if a membarrier reaches the reader's processor, the reader enters, and the
//     membarrier reaches the updater's only then; a test can't bring that about
//     (PLAIN_COOKIE)
//   - the sequence made odd after membarrier A: the reader has to enter, and the
//     cookie to be taken, between the two (START_AFTER_A)
//   - the words of registered readers read before membarrier A: the section has to
//     last longer than that, and its entry to be in the store buffer when they
//     are read (SEE_BEFORE_A)
//
// And some changes do no harm anywhere:
//
//   - Nest is read before QS in step 5 of a grace period: it may wait for one
//     section more (formal/README.md has the argument)
//   - step 8 reads QS alone: QS follows Nest by one instruction
//   - a stack's push leaves the tag alone: that a pop changes it is enough
package main
