// Package process tests what happens to a program that uses Quiesce when the
// system kills it, stops and continues it, or denies it memory. It has no code of
// its own.
//
// A test starts itself again as a child, which runs readers of every flavour
// and writers with every way to free, at full speed under a small limit, and
// takes commands from its standard input (world_test.go).
//
// docs/guide/operations.md says what a user sees in each case.
package process
