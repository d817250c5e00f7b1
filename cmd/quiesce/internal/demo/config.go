package demo

import (
	"fmt"
	"runtime"
	"time"
)

// Config says what Run does. Zero values of Readers, Writers and Limit mean
// their defaults.
type Config struct {
	Dir      string        // the files to load
	Duration time.Duration // of the run phase; up to 2 s longer if there was no pressure yet
	Readers  int           // goroutines; 0: GOMAXPROCS
	Writers  int           // goroutines; 0: GOMAXPROCS / 2, at least 1
	Limit    int64         // of off-heap memory, bytes; 0: 256 MiB, or more for many files
	Seed     uint64        // of the random choices
	Flood    int           // objects of the cold flood; 0: none

	hooks hooks // tests only
}

// hooks let a test do harm on purpose.
type hooks struct {
	loaded func(*job) // before readers and writers start
	run    func(*job) // when the run phase has ended, before memory is counted
}

// Bounds of what can be asked for.
const (
	MaxWorkers = 4096
	MaxFlood   = 100_000_000
)

// InputError is an error of what the user gave: a directory, a limit.
type InputError struct{ msg string }

func (e *InputError) Error() string { return e.msg }

func inputError(format string, args ...any) error {
	return &InputError{fmt.Sprintf(format, args...)}
}

// check refuses what makes no sense and fills in defaults.
func (c *Config) check() error {
	switch {
	case c.Duration <= 0:
		return inputError("the duration must be more than 0, not %v", c.Duration)
	case c.Readers < 0 || c.Readers > MaxWorkers:
		return inputError("readers must be within 1 to %d, not %d", MaxWorkers, c.Readers)
	case c.Writers < 0 || c.Writers > MaxWorkers:
		return inputError("writers must be within 1 to %d, not %d", MaxWorkers, c.Writers)
	case c.Limit < 0:
		return inputError("the limit must not be negative: %d", c.Limit)
	case c.Flood < 0 || c.Flood > MaxFlood:
		return inputError("the flood must be within 0 to %d objects, not %d", MaxFlood, c.Flood)
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

// Phase is what Run is doing.
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

// Status is a moment of Run, for a progress display.
type Status struct {
	Phase    Phase
	Note     string // what is special just now, or ""
	Done     int    // files found, files loaded, steps of the flood
	Total    int    // 0: not known yet
	Elapsed  time.Duration
	Duration time.Duration // of the run phase

	LookupsPerS      float64 // since the last status
	ReplacementsPerS float64
}

// Progress receives a Status some times a second, from one goroutine at a
// time. It may be nil.
type Progress func(Status)

func (p Progress) tell(s Status) {
	if p != nil {
		p(s)
	}
}
