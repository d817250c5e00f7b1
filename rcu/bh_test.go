package rcu

import (
	"strings"
	"testing"

	"quiesce/preempt"
)

// open counts the preemptible sections that are open.
func open() int64 {
	u := sumUnlocks()
	l := sumLocks()
	return int64(l[0] + l[1] - u[0] - u[1])
}

// Handlers wait for the end of the section and run outside of it: it is not
// they who hold up a grace period. That a grace period waits for the section
// is what the tests of the guarantees say, by their table of flavours.
func TestReadLockBHHoldsSoftirqsBackUntilItsEnd(t *testing.T) {
	for _, c := range []struct{ name, do, want string }{
		{"one section", "lock A inside unlock after", "inside:1 A:0 after:0"},
		{"nested: the outermost end", "lock lock2 A unlock2 inside unlock", "inside:1 A:0"},
		{"out of order: the last end", "lock lock2 A unlock inside unlock2", "inside:1 A:0"},
		{"in DisableBH: its Restore", "disable lock A unlock unlocked restore", "unlocked:0 A:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			idle := open()
			var said []string
			say := func(s string) { said = append(said, s+":"+string(rune('0'+open()-idle))) }
			var g, g2 GuardBH
			var s preempt.BHState
			do := map[string]func(){
				"lock":    func() { g = ReadLockBH() },
				"unlock":  func() { g.Unlock() },
				"lock2":   func() { g2 = ReadLockBH() },
				"unlock2": func() { g2.Unlock() },
				"disable": func() { s = preempt.DisableBH() },
				"restore": func() { s.Restore() },
				"A":       func() { preempt.Softirq(func() { say("A") }) },
			}
			for _, word := range strings.Fields(c.do) {
				if fn := do[word]; fn != nil {
					fn()
				} else {
					say(word)
				}
			}
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("events, with the sections open: %s\nwant:                           %s", got, c.want)
			}
			if preempt.BHDisabled() || preempt.Atomic() || open() != idle {
				t.Error("the section is not left")
			}
		})
	}
}
