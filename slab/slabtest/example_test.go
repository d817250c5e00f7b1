//go:build poison

package slabtest_test

import (
	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/slab"
	"quiesce/slab/slabtest"
)

// Check turns every report into a failure of the test. This one writes to a
// session that it has freed.
func ExampleCheck() {
	t := new(testkit.Recorder) // in a test: its *testing.T
	slabtest.Check(t)

	sessions, err := slab.NewCache[[4]uint64]("sessions")
	if err != nil {
		panic(err)
	}
	s := sessions.Alloc(gfp.Kernel)
	sessions.Free(s)
	s[2] = 1

	t.End() // in a test: at its end
	// Output:
	// the test fails
}
