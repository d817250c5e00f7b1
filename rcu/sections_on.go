//go:build lockdep

package rcu

import "quiesce/internal/depcheck"

// sections are the sections of a Reader that lockdep knows.
type sections struct{ open []depcheck.Section }

// begin adds a section; first says that it is the only one.
//
//go:norace
func (s *sections) begin(first bool) depcheck.Section {
	if first {
		s.open = s.open[:0] // those that their guards ended
	}
	d := depcheck.Enter(depcheck.RCU)
	s.open = append(s.open, d)
	return d
}

// end ends the one that was begun last. It returns false if that was reported as
// an error, and must not count.
//
//go:norace
func (s *sections) end() bool {
	for n := len(s.open); n > 0; n-- {
		d := s.open[n-1]
		s.open = s.open[:n-1]
		if d.Open() { // its guard did not end it
			return d.Exit("rcu.Reader")
		}
	}
	return true
}
