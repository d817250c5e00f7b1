package lockdep_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"quiesce/internal/depcheck"
	"quiesce/internal/race"
	"quiesce/lock"
	"quiesce/lockdep"
	"quiesce/preempt"
)

// What lockdep does for two goroutines that have nothing to do with each other
// must not order them, or it would hide their data races. Each scenario runs in
// a process of its own that is built with -race: this test binary again, or one
// that is made for the purpose.
const hideEnv = "QUIESCE_TEST_HIDE"

// shared is what the goroutines race for.
var shared int

//go:noinline
func increment() { shared++ }

// flag is a signal between goroutines that the detector does not see.
type flag struct{ n int }

//go:norace
//go:noinline
func (f *flag) get() int { return f.n }

//go:norace
//go:noinline
func (f *flag) raise() { f.n++ }

//go:norace
func (f *flag) await() {
	for f.get() == 0 {
		runtime.Gosched()
	}
}

// raceApart has one goroutine access shared and use lockdep, before another uses
// it and accesses shared.
func raceApart(use func(goroutine int)) {
	var first, second flag
	var wg sync.WaitGroup
	wg.Go(func() {
		increment()
		use(0)
		first.raise()
		second.await() // what a goroutine did is forgotten sooner when it has ended
	})
	wg.Go(func() {
		first.await()
		use(1)
		increment()
		second.raise()
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

// owns are not on stacks, whose memory others get.
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

// A child is told by the environment which scenario to run.
func init() {
	name, ok := os.LookupEnv(hideEnv)
	if !ok {
		return
	}
	lockdep.Enable()
	for _, s := range hiding {
		if s.name == name {
			s.run()
		}
	}
	os.Exit(0)
}

func raceBinary(t *testing.T) string {
	if race.Enabled {
		return os.Args[0]
	}
	if testing.Short() {
		t.Skip("builds everything once more, with -race; go test -race runs this in its short form too")
	}
	bin := filepath.Join(t.TempDir(), "lockdep.test")
	if out, err := exec.Command("go", "test", "-race", "-c", "-o", bin, ".").CombinedOutput(); err != nil {
		if _, noC := exec.LookPath("gcc"); noC != nil || os.Getenv("CGO_ENABLED") == "0" {
			t.Skipf("no -race builds here: %v", err)
		}
		t.Fatalf("%v\n%s", err, out)
	}
	return bin
}

func TestDataRacesOfUsersAreNotHidden(t *testing.T) {
	bin := raceBinary(t)
	for _, s := range hiding {
		t.Run(s.name, func(t *testing.T) {
			for _, procs := range []string{"1", "4"} {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				cmd := exec.CommandContext(ctx, bin)
				cmd.Env = append(os.Environ(), hideEnv+"="+s.name, "GORACE=halt_on_error=1 history_size=7 atexit_sleep_ms=10", "GOMAXPROCS="+procs)
				out, err := cmd.CombinedOutput()
				found := strings.Contains(string(out), "DATA RACE") && strings.Contains(string(out), "lockdep_test.increment()")
				if found != s.race || err == nil == s.race {
					t.Errorf("GOMAXPROCS=%s: a race was reported: %v, want %v (%v)\n%s", procs, found, s.race, err, out)
				}
			}
		})
	}
}
