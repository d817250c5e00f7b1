package lockdeptest_test

import (
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep/lockdeptest"
)

// Check turns every report into a failure of the test. This one holds a lock.Spin,
// which may spin, while it takes a lock.Mutex, which sleeps.
func ExampleCheck() {
	t := new(testkit.Recorder) // in a test: its *testing.T
	lockdeptest.Check(t)

	var index lock.Spin
	var file lock.Mutex
	index.Lock()
	file.Lock()
	file.Unlock()
	index.Unlock()

	t.End() // in a test: at its end
	// Output:
	// the test fails
}
