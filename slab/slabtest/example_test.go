//go:build poison

package slabtest_test

import (
	"fmt"
	"testing"

	"quiesce/gfp"
	"quiesce/slab"
	"quiesce/slab/slabtest"
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

// Check turns every report into a failure of the test. This one writes to a
// session that it has freed.
func ExampleCheck() {
	t := new(recorder) // in a test: its *testing.T
	slabtest.Check(t)

	sessions, err := slab.NewCache[[4]uint64]("sessions")
	if err != nil {
		panic(err)
	}
	s := sessions.Alloc(gfp.Kernel)
	sessions.Free(s)
	s[2] = 1

	t.cleanup() // in a test: at its end
	// Output:
	// the test fails
}
