package lockdep_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/testkit"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// What lockdep does for two unrelated goroutines must not order them, or it would
// hide their data races. Each scenario runs in
// a process of its own that is built with -race.
func init() {
	for _, s := range hiding {
		scenarios[hides+s.name] = func() {
			lockdep.Enable()
			s.run()
		}
	}
}

const hides = "hides: "

// shared is what the goroutines race for.
var shared int

//go:noinline
func increment() { shared++ }

// raceApart has one goroutine access shared, and another that is ordered after it
// use lockdep, before a third uses it and accesses shared. The first does nothing
// more, and does not end: the detector reports no race with an access that it has
// forgotten, and it forgets one after some 80,000 others of the same goroutine, or
// when that has ended.
func raceApart(use func(goroutine int)) {
	var first, second testkit.Flag
	var wg sync.WaitGroup
	wg.Go(func() {
		increment()
		wg.Go(func() {
			use(0)
			first.Raise()
		})
		second.Await(1)
	})
	wg.Go(func() {
		first.Await(1)
		use(1)
		increment()
		second.Raise()
	})
	wg.Wait()
}

// own are one goroutine's locks. Their classes are those of the other's.
type own struct {
	mu   lock.Mutex
	rw   lock.RW
	spin lock.Spin
	raw  lock.Raw
	m, n depcheck.Map
}

// owns are not on stacks, whose memory is reused.
var (
	owns   [2]own
	common lock.Mutex
)

func (o *own) name() {
	o.mu.Init("mu")
	o.rw.Init("rw")
	o.spin.Init("spin")
	o.raw.Init("raw")
	o.m.Init("m")
	o.n.Init("n")
}

func (o *own) all() {
	o.mu.Lock()
	o.rw.RLock()
	o.spin.Lock()
	o.raw.Lock()
	o.raw.Unlock()
	o.spin.Unlock()
	o.rw.RUnlock()
	o.mu.Unlock()
	if o.mu.TryLock() {
		o.mu.Unlock()
	}
}

var hiding = []struct {
	name string
	race bool
	run  func()
}{
	{"locks of their own", true, func() {
		raceApart(func(g int) {
			owns[g].name()
			owns[g].all()
		})
	}},
	{"locks of their own, and classes that are known", true, func() {
		owns[0].name()
		owns[1].name()
		owns[0].all()
		owns[1].all()
		raceApart(func(g int) { owns[g].all() })
	}},
	{"contexts", true, func() {
		raceApart(func(g int) {
			preempt.Hardirq(func() {})
			preempt.Softirq(func() { owns[g].spin.Lock(); owns[g].spin.Unlock() })
			s := preempt.DisableIRQ()
			owns[g].raw.Lock()
			owns[g].raw.Unlock()
			s.Restore()
			lockdep.MightSleep()
		})
	}},
	{"reports of both", true, func() {
		lockdep.SetReporter(func(*lockdep.Report) {})
		raceApart(func(g int) {
			o := &owns[g]
			o.m.Init("m" + string('0'+rune(g)))
			o.n.Init("n" + string('0'+rune(g)))
			holdAll(&o.m, &o.n)
			holdAll(&o.n, &o.m)
			o.m.Release(false)
			lockdep.CheckNoLocksHeld()
		})
	}},
	{"figures", true, func() {
		raceApart(func(int) {
			lockdep.ReadStats()
			lockdep.Orders()
			lockdep.Reset()
		})
	}},
	// These are ordered.
	{"a lock of both", false, func() {
		raceApart(func(int) {
			common.Lock()
			common.Unlock()
		})
	}},
}

func TestDataRacesOfUsersAreNotHidden(t *testing.T) {
	bin := testkit.RaceBinary(t)
	for _, s := range hiding {
		t.Run(s.name, func(t *testing.T) {
			for _, procs := range []string{"1", "4"} {
				out, err := testkit.Child{Binary: bin, Scenario: hides + s.name, Timeout: time.Minute,
					Env: []string{"GORACE=halt_on_error=1 history_size=7 atexit_sleep_ms=10", "GOMAXPROCS=" + procs}}.Output()
				found := strings.Contains(out, "DATA RACE") && strings.Contains(out, "lockdep_test.increment()")
				if found != s.race || err == nil == s.race {
					t.Errorf("GOMAXPROCS=%s: a race was reported: %v, want %v (%v)\n%s", procs, found, s.race, err, out)
				}
			}
		})
	}
}
