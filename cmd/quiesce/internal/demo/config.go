package demo

import (
	"runtime"
	"time"

	"quiesce/cmd/quiesce/internal/kit"
)

// Config says what Run does. Zero values of Readers, Writers and Limit mean
// their defaults.
type Config struct {
	Dir      string        // the files to load
	Duration time.Duration // of the run phase; up to 8 s longer if there was no pressure yet
	Readers  int           // goroutines; 0: GOMAXPROCS
	Writers  int           // goroutines; 0: GOMAXPROCS / 2, at least 1
	Limit    int64         // of off-heap memory, bytes; 0: 256 MiB, or more for many files
	Seed     uint64        // of the random choices
	Flood    int           // objects of the cold flood; 0: none

	hooks hooks // tests only
}

// hooks let a test do damage on purpose.
type hooks struct {
	loaded func(*job) // before readers and writers start
	run    func(*job) // when the run phase has ended, before memory is counted
}

// Upper bounds of the configuration.
const (
	MaxWorkers = 4096
	MaxFlood   = 100_000_000
)

// check rejects what makes no sense and fills in the defaults.
func (c *Config) check() error {
	switch {
	case c.Duration <= 0:
		return kit.BadInput("the duration must be more than 0, not %v", c.Duration)
	case c.Readers < 0 || c.Readers > MaxWorkers:
		return kit.BadInput("readers must be within 1 to %d, not %d", MaxWorkers, c.Readers)
	case c.Writers < 0 || c.Writers > MaxWorkers:
		return kit.BadInput("writers must be within 1 to %d, not %d", MaxWorkers, c.Writers)
	case c.Limit < 0:
		return kit.BadInput("the limit must not be negative: %d", c.Limit)
	case c.Flood < 0 || c.Flood > MaxFlood:
		return kit.BadInput("the flood must be within 0 to %d objects, not %d", MaxFlood, c.Flood)
	}
	n := runtime.GOMAXPROCS(0)
	if c.Readers == 0 {
		c.Readers = n
	}
	if c.Writers == 0 {
		c.Writers = max(1, n/2)
	}
	return nil
}

// Phase is a stage of Run.
type Phase string

// The phases, in their order.
const (
	Walk  Phase = "walk"
	Load  Phase = "load"
	Exec  Phase = "run"
	Close Phase = "close"
	Flood Phase = "flood"
	Done  Phase = "done"
)

// step is a moment of a phase, for a display.
func (p Phase) step(done, total int, text string) kit.Step {
	return kit.Step{Phase: string(p), Text: text, Done: done, Total: total}
}
