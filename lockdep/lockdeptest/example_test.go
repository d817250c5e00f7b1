package lockdeptest_test

import (
	"fmt"
	"testing"

	"quiesce/lock"
	"quiesce/lockdep/lockdeptest"
)

// recorder takes the place of a test's *testing.T, so that the example can show what
// would fail it.
type recorder struct {
	testing.TB
	cleanup func()
}

func (r *recorder) Helper()           {}
func (r *recorder) Cleanup(fn func()) { r.cleanup = fn }
func (r *recorder) Error(...any)      { fmt.Println("the test fails") }

// Check turns every report into a failure of the test. This one holds a lock.Spin,
// which may spin, while it takes a lock.Mutex, which sleeps.
func ExampleCheck() {
	t := new(recorder) // in a test: its *testing.T
	lockdeptest.Check(t)

	var index lock.Spin
	var file lock.Mutex
	index.Lock()
	file.Lock()
	file.Unlock()
	index.Unlock()

	t.cleanup() // in a test: at its end
	// Output:
	// the test fails
}
