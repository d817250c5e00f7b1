package properties

import (
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"quiesce/preempt"
	"quiesce/rcu"
)

// promise is something that waits for readers: a cookie or a callback.
type promise struct {
	readers map[int]bool // guards that were held when it was made
	kept    func() bool
	was     bool // kept once
	call    bool
}

// graceMachine is the model of grace periods: the guards held, by number, and
// the promises made.
type graceMachine struct {
	guards   map[int]rcu.Guard
	next     int
	promises []*promise
}

func (m *graceMachine) promise(kept func() bool, call bool) {
	p := &promise{readers: map[int]bool{}, kept: kept, call: call}
	for i := range m.guards {
		p.readers[i] = true
	}
	m.promises = append(m.promises, p)
}

func (m *graceMachine) check(t *rapid.T) {
	for i, p := range m.promises {
		kept := p.kept()
		for g := range p.readers {
			if _, held := m.guards[g]; held && kept {
				t.Fatalf("promise %d (callback: %v) is kept while guard %d is held, which is older", i, p.call, g)
			}
		}
		if p.was && !kept {
			t.Fatalf("promise %d was kept, and is not any more", i)
		}
		p.was = kept
	}
}

// now checks that everything promised is kept. Callbacks are a Barrier's
// promise, cookies a Synchronize's.
func (m *graceMachine) now(t *rapid.T, calls bool) {
	for i, p := range m.promises {
		if p.call == calls && !p.kept() {
			t.Fatalf("promise %d (callback: %v) is not kept after the wait", i, p.call)
		}
	}
}

// No cookie is done and no callback runs while a reader is inside that was there
// before; a done cookie stays done; Synchronize ends all cookies taken
// before it, and Barrier all callbacks.
func TestGracePeriodsKeepTheirPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &graceMachine{guards: map[int]rcu.Guard{}}
		defer func() {
			for _, g := range m.guards {
				g.Unlock()
			}
			rcu.Barrier()
		}()
		t.Repeat(map[string]func(*rapid.T){
			"": m.check,
			"ReadLock": func(t *rapid.T) {
				if len(m.guards) == 4 {
					t.Skip()
				}
				m.guards[m.next] = rcu.ReadLock()
				m.next++
			},
			"Unlock": func(t *rapid.T) {
				if len(m.guards) == 0 {
					t.Skip()
				}
				var held []int
				for i := range m.next {
					if _, ok := m.guards[i]; ok {
						held = append(held, i)
					}
				}
				i := rapid.SampledFrom(held).Draw(t, "guard")
				g := m.guards[i]
				delete(m.guards, i)
				if rapid.Bool().Draw(t, "elsewhere") {
					done := make(chan bool)
					go func() { g.Unlock(); close(done) }()
					<-done
				} else {
					g.Unlock()
				}
			},
			"StartPoll": func(t *rapid.T) {
				c := rcu.StartPoll()
				m.promise(func() bool { return rcu.Poll(c) }, false)
			},
			"StartPollPinned": func(t *rapid.T) {
				p := preempt.Disable()
				c := rcu.StartPoll()
				done := rcu.Poll(c)
				p.Enable()
				if done {
					t.Fatal("a cookie is done in the pinned section that took it")
				}
				m.promise(func() bool { return rcu.Poll(c) }, false)
			},
			"GetState": func(t *rapid.T) {
				c := rcu.GetState()
				m.promise(func() bool { return rcu.Poll(c) }, false)
			},
			"Call": func(t *rapid.T) {
				for range rapid.IntRange(1, 300).Draw(t, "n") {
					ran := new(atomic.Int32)
					m.promise(func() bool {
						if ran.Load() > 1 {
							t.Fatal("a callback ran twice")
						}
						return ran.Load() == 1
					}, true)
					rcu.Call(func() { ran.Add(1) })
				}
			},
			"Wait": func(t *rapid.T) {
				if len(m.guards) > 0 {
					t.Skip()
				}
				switch rapid.IntRange(0, 2).Draw(t, "how") {
				case 0:
					rcu.Synchronize()
				case 1:
					rcu.SynchronizeExpedited()
				case 2:
					rcu.Barrier()
					m.now(t, true)
					return
				}
				m.now(t, false)
			},
			"Pause": func(t *rapid.T) {
				time.Sleep(time.Duration(rapid.IntRange(0, 1000).Draw(t, "µs")) * time.Microsecond)
			},
		})
	})
}
