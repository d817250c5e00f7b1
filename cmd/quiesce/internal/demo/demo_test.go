package demo

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
	"quiesce/gfp"
	"quiesce/rcu"
	"quiesce/slab"
)

// tree makes a directory with n files, some levels deep.
func tree(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint(i%7), strings.Repeat("d", i%40+1), fmt.Sprintf("file%d", i))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Repeat("x", i)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func short(dir string) Config {
	return Config{Dir: dir, Duration: 300 * time.Millisecond, Seed: 1}
}

func mustRun(t *testing.T, cfg Config) Report {
	t.Helper()
	rep, err := Run(context.Background(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// clean checks what every undisturbed run must give.
func clean(t *testing.T, rep Report) {
	t.Helper()
	if !rep.OK || rep.IntegrityErrors != 0 || rep.Leaks != 0 {
		t.Errorf("OK %v, %d integrity errors %q, %d leaks %q",
			rep.OK, rep.IntegrityErrors, rep.IntegritySamples, rep.Leaks, rep.LeakSamples)
	}
	if rep.PeakBytes > rep.LimitBytes {
		t.Errorf("peak of %d bytes above the limit of %d", rep.PeakBytes, rep.LimitBytes)
	}
	if in, all := rep.Routes.Array+rep.Routes.Fallback, rep.FreeRCU.Total(); in != all {
		t.Errorf("%d objects went in of %d", in, all)
	}
	if freed := rep.Replacements + rep.Deletes; freed != rep.FreeRCU.Total() {
		t.Errorf("%d replacements and deletes, %d FreeRCU calls", freed, rep.FreeRCU.Total())
	}
}

func TestAShortRunTakesEveryWay(t *testing.T) {
	procs, routines := runtime.GOMAXPROCS(0), runtime.NumGoroutine()
	cfg := short(tree(t, 300))
	cfg.Flood = 20_000
	var phases []Phase
	rep, err := Run(context.Background(), cfg, func(s kit.Step) {
		if len(phases) == 0 || phases[len(phases)-1] != Phase(s.Phase) {
			phases = append(phases, Phase(s.Phase))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, rep)
	if rep.Partial || rep.EndedIn != Done {
		t.Errorf("partial %v, ended in %s", rep.Partial, rep.EndedIn)
	}
	if rep.Files != 300 || rep.ContentBytes != 300*299/2 {
		t.Errorf("%d files with %d bytes", rep.Files, rep.ContentBytes)
	}
	for name, n := range map[string]uint64{
		"lookups": rep.Lookups, "replacements": rep.Replacements, "deletes": rep.Deletes, "re-inserts": rep.Reinserts,
		"plain": rep.FreeRCU.Plain, "raw lock": rep.FreeRCU.RawLock, "preempt": rep.FreeRCU.Preempt,
		"irq": rep.FreeRCU.IRQ, "hardirq": rep.FreeRCU.Hardirq,
		"array": rep.Routes.Array, "reused": rep.Routes.Reused, "fallback": rep.Routes.Fallback,
		"refused objects": rep.RefusedAllocs, "refused pages": rep.RefusedPages, "refused writes": rep.RefusedWrites,
		"grace periods": rep.GracePeriods, "holds": rep.Holds, "misses": rep.Misses, "GC cycles": uint64(rep.GCCycles),
	} {
		if name == "reused" && slab.PoisonEnabled {
			continue // objects go into the quarantine, not from hand to hand
		}
		mayBe := strings.HasPrefix(name, "refused") // there need not be any: waiters take turns, and NoLocks mends itself
		if n == 0 && !mayBe || n > math.MaxUint64/2 {
			t.Errorf("%s: %d", name, n)
		}
	}
	if rep.PressureS <= 0 || rep.RunS < 0.3 || rep.RunS > 12 {
		t.Errorf("pressure for %v s of %v", rep.PressureS, rep.RunS)
	}
	if n := len(rep.GOMAXPROCSChanges); n < 2 {
		t.Errorf("GOMAXPROCS changed %d times", n)
	}
	if now := runtime.GOMAXPROCS(0); now != procs {
		t.Errorf("GOMAXPROCS is %d, was %d", now, procs)
	}
	if got, want := fmt.Sprint(phases), "[walk load run close flood done]"; got != want {
		t.Errorf("phases %s, want %s", got, want)
	}
	f := rep.ColdFlood
	if f == nil || f.Objects != cfg.Flood || f.ListWalk <= 0 || f.ColdWrite <= 0 {
		t.Fatalf("flood %+v", f)
	}
	for _, w := range []FloodWay{f.HandOver, f.Bulk} {
		if w.Enqueue <= 0 || w.Reclaim <= 0 || w.FirstWrite <= 0 || w.Arrays <= 0 {
			t.Errorf("flood %+v", w)
		}
	}
	// Nothing runs when nothing is pending.
	for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > routines; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines after the run, %d before", runtime.NumGoroutine(), routines)
		}
	}
}

func TestItWorksWithOneFileAndManyWorkers(t *testing.T) {
	cfg := short(tree(t, 1))
	cfg.Readers, cfg.Writers = 5, 5
	rep := mustRun(t, cfg)
	clean(t, rep)
	if rep.Writers != 1 || rep.Readers != 5 {
		t.Errorf("%d writers of one path, %d readers", rep.Writers, rep.Readers)
	}
	if rep.Replacements == 0 || rep.Deletes == 0 || rep.Reinserts == 0 {
		t.Errorf("%d replacements, %d deletes, %d re-inserts", rep.Replacements, rep.Deletes, rep.Reinserts)
	}
}

func TestASmallLimitHolds(t *testing.T) {
	cfg := short(tree(t, 300))
	cfg.Limit = 4 << 20
	cfg.Writers = 3
	clean(t, mustRun(t, cfg))
}

func TestBadInputIsAnInputError(t *testing.T) {
	dir := tree(t, 50)
	empty := t.TempDir()
	if err := os.Mkdir(filepath.Join(empty, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Dir = "" }, "no directory"},
		{func(c *Config) { c.Dir = filepath.Join(dir, "nowhere") }, "does not exist"},
		{func(c *Config) { c.Dir = file }, "not a directory"},
		{func(c *Config) { c.Dir = empty }, "no regular file"},
		{func(c *Config) { c.Duration = 0 }, "duration"},
		{func(c *Config) { c.Readers = -1 }, "readers"},
		{func(c *Config) { c.Writers = MaxWorkers + 1 }, "writers"},
		{func(c *Config) { c.Limit = -1 }, "limit"},
		{func(c *Config) { c.Limit = 1000 }, "below"},
		{func(c *Config) { c.Limit = 30_000 }, "too small"},
		{func(c *Config) { c.Flood = -1 }, "flood"},
	} {
		cfg := short(dir)
		c.change(&cfg)
		_, err := Run(context.Background(), cfg, nil)
		var input *kit.InputError
		if !errors.As(err, &input) || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want one line with %q", err, c.want)
		}
	}
}

func TestAFileThatCannotBeReadIsCounted(t *testing.T) {
	dir := tree(t, 20)
	rep, err := Run(context.Background(), short(dir), func(s kit.Step) {
		if s.Phase == string(Walk) { // found, and gone before it is read
			os.Remove(filepath.Join(dir, "3", strings.Repeat("d", 4), "file3"))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	clean(t, rep)
	if rep.Files != 19 || rep.FilesUnreadable != 1 {
		t.Errorf("%d files, %d unreadable", rep.Files, rep.FilesUnreadable)
	}
}

// An early end gives a report of the time until then, and leaves nothing.
func TestAnInterruptedRunIsPartialAndClean(t *testing.T) {
	dir := tree(t, 300)
	for _, phase := range []Phase{Walk, Load, Exec, Flood} {
		procs := runtime.GOMAXPROCS(0)
		ctx, cancel := context.WithCancel(context.Background())
		cfg := short(dir)
		cfg.Flood = 20_000
		if phase == Exec {
			cfg.Duration = time.Minute
		}
		rep, err := Run(ctx, cfg, func(s kit.Step) {
			if s.Phase == string(phase) {
				cancel()
			}
		})
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		if !rep.Partial || !rep.OK || rep.Leaks != 0 || rep.IntegrityErrors != 0 {
			t.Errorf("%s: partial %v, OK %v: %q %q", phase, rep.Partial, rep.OK, rep.IntegritySamples, rep.LeakSamples)
		}
		if rep.EndedIn != phase && !(phase == Load && rep.EndedIn == Exec) {
			t.Errorf("interrupted in %s, ended in %s", phase, rep.EndedIn)
		}
		if now := runtime.GOMAXPROCS(0); now != procs {
			t.Errorf("%s: GOMAXPROCS is %d, was %d", phase, now, procs)
		}
	}
}

// What goes wrong is seen: each harm is done before readers and writers start.
func TestHarmDoneOnPurposeIsAnIntegrityError(t *testing.T) {
	dir := tree(t, 300)
	each := func(j *job, harm func(e *entry, r *record)) {
		for i := range j.entries {
			g := rcu.ReadLock()
			r := j.files.Get(g, j.entries[i].path)
			g.Unlock()
			harm(&j.entries[i], r) //quiescevet:ignore nobody else uses the map yet
		}
	}
	for name, harm := range map[string]func(*job){
		"does not fit its check word": func(j *job) { each(j, func(_ *entry, r *record) { r.size++ }) },
		"not found":                   func(j *job) { each(j, func(e *entry, _ *record) { j.files.Delete(e.path) }) },
		"old record|another generation": func(j *job) {
			each(j, func(e *entry, _ *record) { e.word.Store(word(9, present)) })
		},
		"not there was found": func(j *job) {
			each(j, func(e *entry, _ *record) { e.word.Store(word(0, absent)) })
		},
		"its path": func(j *job) { each(j, func(_ *entry, r *record) { r.tag++; r.seal() }) },
	} {
		cfg := short(dir)
		cfg.Duration = 100 * time.Millisecond
		cfg.hooks.loaded = harm
		rep := mustRun(t, cfg)
		if rep.OK || rep.IntegrityErrors == 0 || !regexp.MustCompile(name).MatchString(fmt.Sprint(rep.IntegritySamples)) {
			t.Errorf("%s: OK %v, %d errors: %q", name, rep.OK, rep.IntegrityErrors, rep.IntegritySamples)
		}
	}
}

func TestAnObjectThatIsNotFreedIsALeak(t *testing.T) {
	cfg := short(tree(t, 50))
	cfg.hooks.run = func(j *job) {
		if slab.NewHeap(j.pages).Kmalloc(100, gfp.Kernel) == nil {
			t.Error("no memory")
		}
	}
	rep := mustRun(t, cfg)
	if rep.OK || rep.Leaks == 0 || len(rep.LeakSamples) == 0 || rep.IntegrityErrors != 0 {
		t.Errorf("OK %v, %d leaks %q, %d integrity errors", rep.OK, rep.Leaks, rep.LeakSamples, rep.IntegrityErrors)
	}
}

// An object of the map's own that never comes back from FreeRCU is a leak too.
func TestAnObjectThatFreeRCUDidNotGetIsALeak(t *testing.T) {
	cfg := short(tree(t, 50))
	cfg.hooks.run = func(j *job) { j.rep.FreeRCU.Plain++ }
	if rep := mustRun(t, cfg); rep.OK || rep.Leaks != 1 {
		t.Errorf("OK %v, %d leaks %q", rep.OK, rep.Leaks, rep.LeakSamples)
	}
}

func TestTheSeedRepeatsTheChoices(t *testing.T) {
	choices := func(seed uint64) string {
		j := &job{cfg: Config{Seed: seed}}
		var s []uint64
		for _, r := range []string{"reader", "writer", "flood"} {
			for i := range 3 {
				s = append(s, j.random(r, i).Uint64())
			}
		}
		return fmt.Sprint(s)
	}
	one, again, two := choices(1), choices(1), choices(2)
	if one != again {
		t.Error("the same seed gave other choices")
	}
	if one == two {
		t.Error("another seed gave the same choices")
	}
}
