//go:build lockdep

package lockdep_test

import (
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
)

// More sections than a goroutine has records for: those beyond are not known,
// and so their ends are not reported.
func TestTheEndOfASectionThatFoundNoRoomIsNotReported(t *testing.T) {
	lockdeptest.Expect(t, func() {
		var all []depcheck.Section
		for range 60 {
			all = append(all, depcheck.Enter(depcheck.RCU))
		}
		for _, s := range all {
			if !s.Open() {
				t.Error("a section is not open")
			}
			s.Exit("section")
		}
	}, lockdep.TableFull)
	lockdeptest.Expect(t, lockdep.CheckNoLocksHeld)
}
