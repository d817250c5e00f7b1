// Package process tests what becomes of a program that uses Quiesce when the
// system is rough with it: killed, stopped and continued, denied memory. It
// has no code of its own.
//
// A test starts itself again as a child, which runs readers of every flavour
// and writers with every way to free at full tilt under a small limit, and
// takes commands from its standard input (world_test.go).
//
// docs/guide/operations.md says what a user sees in each case.
package process
