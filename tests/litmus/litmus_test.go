package litmus

import (
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"quiesce/internal/sys"
	"quiesce/internal/testkit"
	"quiesce/lockdep"
)

// QUIESCE_LITMUS=1e8 runs at least so many instances of every shape whose
// outcome must never be seen.
const longEnv = "QUIESCE_LITMUS"

func target(t *testing.T) (instances uint64, bound time.Duration) {
	text := os.Getenv(longEnv)
	switch { // the time is what counts
	case text == "" && testkit.Long():
		return 1 << 40, 30 * time.Millisecond
	case text == "":
		return 1 << 40, 12 * time.Millisecond
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: want a number, as 1e8", longEnv, text)
	}
	return uint64(n), 10 * time.Minute
}

func parallel(t *testing.T) {
	if runtime.NumCPU() < 2 {
		t.Skip("one processor: nothing runs in parallel")
	}
}

// bind ties a thread to a processor, where the system can.
var bind func(id int)

func seed(t *testing.T) uint64 {
	s := uint64(time.Now().UnixNano())
	t.Logf("seed %d", s)
	return s
}

func TestTheForbiddenOutcomeIsNeverSeen(t *testing.T) {
	parallel(t)
	instances, bound := target(t)
	for _, s := range neverShapes {
		t.Run(s.Name, func(t *testing.T) {
			total := &Result{}
			seed := seed(t)
			flavours, updaters := Flavours, Updaters
			g, r := counts(s)
			if g == 0 { // it makes no difference to this shape
				updaters = updaters[:1]
			}
			if r == 0 {
				flavours = flavours[:1]
			}
			each := instances/uint64(len(flavours)*len(updaters)) + 1
			for _, f := range flavours {
				for _, u := range updaters {
					res := Run(s, Config{Flavour: f, Updater: u, Instances: each, Time: bound, Seed: seed, Bind: bind})
					seed++
					t.Logf("%-18v %-25s %11d instances %9d grace periods %6.2f s", f, u.Name, res.Instances, res.GracePeriods, res.Seconds)
					if res.Seen() > 0 {
						t.Errorf("%v, %s, seed %d: the forbidden outcome was seen\n%v", f, u.Name, res.Seed, res)
					}
					total.Add(res)
				}
			}
			t.Logf("\n%v", total)
		})
	}
}

// The engine can see a processor reorder; otherwise nothing above would mean
// anything.
func TestStoreBufferingIsSeen(t *testing.T) {
	parallel(t)
	t.Run("plain", func(t *testing.T) { mustSee(t, shape("SB+poonceonces"), ReadLock, Updaters[0]) })
	for _, f := range Flavours {
		// A section orders nothing by itself.
		t.Run(f.String(), func(t *testing.T) { mustSee(t, shape("SB+rscs+rscs"), f, Updaters[0]) })
	}
}

// More sections than grace periods: RCU's promise ends here, and what it does
// not promise does happen.
func TestMoreSectionsThanGracePeriodsAllowTheCycle(t *testing.T) {
	parallel(t)
	if !sys.HasMembarrier() {
		t.Skip("a grace period that stops the world has hardly room for a whole section inside")
	}
	some := Flavours
	if os.Getenv(longEnv) == "" {
		some = some[:2]
	}
	for _, f := range some {
		t.Run(f.String(), func(t *testing.T) {
			mustSee(t, shape("WR-R+WR-R"), f, Updaters[0])
			mustSee(t, shape("WR-R+RW-G+WR-R"), f, Updaters[0])
		})
	}
}

// The engine catches a grace period that waits for no reader.
func TestWithoutAGracePeriodEveryForbiddenOutcomeIsSeen(t *testing.T) {
	parallel(t)
	for _, name := range []string{"RCU+sync+free", "RCU+sync+read", "RCU+sync+read, reader reads", "SB+sync+rscs", "RW-G+WR-R"} {
		for _, f := range Flavours {
			t.Run(name+"/"+f.String(), func(t *testing.T) { mustSee(t, shape(name), f, NoWait) })
		}
	}
}

func TestAGracePeriodThatBeganBeforeTheUnlinkIsCaught(t *testing.T) {
	parallel(t)
	for _, f := range []Flavour{ReadLock, Disable, DisableIRQ, RawLock} { // it can't see a Reader's words
		t.Run(f.String(), func(t *testing.T) { mustSee(t, shape("RCU+sync+free"), f, EarlyLook) })
	}
}

// The subtlest mutant: the reader's entry is still in its store buffer when the
// updater reads it. lock.Raw has a locked instruction after its entry, which does
// what the membarrier would.
func TestAMissingMembarrierIsCaught(t *testing.T) {
	parallel(t)
	if runtime.GOARCH != "amd64" {
		t.Skip("tried on amd64")
	}
	if lockdep.Tagged {
		t.Skip("lockdep's record of the section has locked instructions too")
	}
	for _, f := range []Flavour{ReadLock, Disable, DisableIRQ} {
		t.Run(f.String(), func(t *testing.T) {
			s := shape("SB+sync+rscs")
			without := mustSee(t, s, f, NoMembarrier)
			// And it is the membarrier that was missing.
			with := Run(s, Config{Flavour: f, Updater: WithMembarrier, Instances: 3 * without.Instances, Time: 2 * time.Second, Seed: seed(t), Bind: bind})
			if with.Seen() > 0 {
				t.Errorf("the forbidden outcome was seen with the membarrier too\n%v", with)
			}
		})
	}
}

// mustSee runs the shape until its outcome was seen, with ever larger bounds.
// Where every round sees nothing, the test fails.
func mustSee(t *testing.T, s Shape, f Flavour, u Updater) *Result {
	t.Helper()
	if raceEnabled {
		t.Skip("the race detector's instructions keep the accesses apart")
	}
	total := &Result{}
	long := os.Getenv(longEnv) != ""
	seed := seed(t)
	for d := 40 * time.Millisecond; d < 12*time.Second; d *= 2 {
		// Small batches meet more often, large ones for longer. An outcome may be seen
		// in those of one size only, so each has its share of every round.
		for _, size := range []int{0, 6, 10} {
			total.Add(Run(s, Config{Flavour: f, Updater: u, Instances: 1 << 40, Time: d, Seed: seed,
				MaxLog: size, Until: !long, Bind: bind}))
			seed++
			if total.Seen() > 0 {
				t.Logf("\n%v", total)
				return total
			}
		}
	}
	t.Errorf("%v, %s: the outcome was not seen, so this test sees less than it should\n%v", f, u.Name, total)
	return total
}
