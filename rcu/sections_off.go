//go:build !lockdep

package rcu

import "quiesce/internal/depcheck"

// sections are the sections of a Reader that lockdep knows.
type sections struct{}

// begin adds a section; first says that it is the only one.
func (*sections) begin(first bool) depcheck.Section { return depcheck.Section{} }

// end ends the one that was begun last. It returns false if that was reported as
// an error, and must not count.
func (*sections) end() bool { return true }
