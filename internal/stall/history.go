package stall

import (
	"slices"
	"sync"
	"time"
)

// Event is a report that was made: of a reader that held up a grace period, or of
// a callback that held up others.
type Event struct {
	When   time.Time
	Kind   string // "reader" or "callback"
	What   string
	Lasted time.Duration // until the report
}

// eventsMost is how many events are kept.
const eventsMost = 32

var events struct {
	sync.Mutex
	last []Event
}

// Record keeps an event for History.
//
// Context: task; not pinned.
func Record(e Event) {
	e.When = time.Now()
	events.Lock()
	defer events.Unlock()
	if len(events.last) == eventsMost {
		events.last = slices.Delete(events.last, 0, 1)
	}
	events.last = append(events.last, e)
}

// History returns the last events, the oldest first.
//
// Context: task; not pinned.
func History() []Event {
	events.Lock()
	defer events.Unlock()
	return slices.Clone(events.last)
}

// Current returns the reader that was reported last, if its grace period has not
// ended, and for how long it has held that up; or "".
//
// Context: any.
func Current() (reader string, since time.Duration) {
	reader, began := read()
	if reader != "" {
		since = time.Since(began)
	}
	return reader, since
}
