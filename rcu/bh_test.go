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
	for _, c := range []struct {
		name string
		run  func(say func(string))
		want string
	}{
		{"one section", func(say func(string)) {
			g := ReadLockBH()
			preempt.Softirq(func() { say("A") })
			say("inside")
			g.Unlock()
			say("after")
		}, "inside:1 A:0 after:0"},
		{"nested: the outermost end", func(say func(string)) {
			g := ReadLockBH()
			h := ReadLockBH()
			preempt.Softirq(func() { say("A") })
			h.Unlock()
			say("inside")
			g.Unlock()
		}, "inside:1 A:0"},
		{"out of order: the last end", func(say func(string)) {
			g := ReadLockBH()
			h := ReadLockBH()
			preempt.Softirq(func() { say("A") })
			g.Unlock()
			say("inside")
			h.Unlock()
		}, "inside:1 A:0"},
		{"in DisableBH: its Restore", func(say func(string)) {
			s := preempt.DisableBH()
			g := ReadLockBH()
			preempt.Softirq(func() { say("A") })
			g.Unlock()
			say("unlocked")
			s.Restore()
		}, "unlocked:0 A:0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			idle := open()
			var said []string
			c.run(func(s string) { said = append(said, s+":"+string(rune('0'+open()-idle))) })
			if got := strings.Join(said, " "); got != c.want {
				t.Errorf("events, with the sections open: %s\nwant:                           %s", got, c.want)
			}
			if preempt.BHDisabled() || preempt.Atomic() || open() != idle {
				t.Error("the section is not left")
			}
		})
	}
}
