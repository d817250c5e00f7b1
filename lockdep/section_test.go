//go:build lockdep

package lockdep_test

import (
	"testing"

	"quiesce/internal/depcheck"
	"quiesce/lockdep"
	"quiesce/lockdep/lockdeptest"
	"quiesce/rcu"
	"quiesce/rcuhash"
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

func TestAGuardIsNoProofBehindItsUnlock(t *testing.T) {
	r := collect(t)
	m, err := rcuhash.New[int, int](16)
	if err != nil {
		t.Fatal(err)
	}
	m.Put(1, 10)
	g := rcu.ReadLock()
	apart(func() {
		if v := m.Get(g, 1); v == nil || *v != 10 {
			t.Error("the key is not there")
		}
	})
	r.want(t, "Get with a guard of another goroutine's section")
	g.Unlock()
	m.Get(g, 1)
	r.want(t, "Get with a guard that was unlocked", lockdep.SuspiciousRCU)
	if err := m.Close(); err != nil {
		t.Error(err)
	}
}
