package testkit

import (
	"fmt"
	"testing"
)

// Recorder takes the place of a test's *testing.T in an example that shows what
// would fail the test.
type Recorder struct {
	testing.TB
	cleanup func()
}

// Helper does nothing.
func (r *Recorder) Helper() {}

// Cleanup has End call fn.
func (r *Recorder) Cleanup(fn func()) { r.cleanup = fn }

// Error prints that the test fails.
func (r *Recorder) Error(...any) { fmt.Println("the test fails") }

// End does what the end of a test does.
func (r *Recorder) End() { r.cleanup() }
