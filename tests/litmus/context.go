package litmus

import (
	"runtime"

	"quiesce/internal/sys"
	"quiesce/lock"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Flavour is a way to be in a read-side section.
type Flavour uint8

const (
	ReadLock Flavour = iota
	Disable
	DisableIRQ
	RawLock
	Reader  // of the process's own
	Readers // a new one for each section
)

// Flavours are all of them.
var Flavours = []Flavour{ReadLock, Disable, DisableIRQ, RawLock, Reader, Readers}

func (f Flavour) String() string {
	return [...]string{"rcu.ReadLock", "preempt.Disable", "preempt.DisableIRQ", "lock.Raw", "rcu.Reader", "new rcu.Reader"}[f]
}

// section is one process's read-side section.
type section struct {
	flavour Flavour
	guard   rcu.Guard
	pin     preempt.Pinned
	irq     preempt.IRQState
	raw     lock.Raw
	reader  *rcu.Reader
}

func (s *section) enter() {
	switch s.flavour {
	case ReadLock:
		s.guard = rcu.ReadLock()
	case Disable:
		s.pin = preempt.Disable()
	case DisableIRQ:
		s.irq = preempt.DisableIRQ()
	case RawLock:
		s.raw.Lock()
	case Reader:
		s.reader.ReadLock()
	case Readers:
		s.reader = rcu.NewReader()
		s.reader.ReadLock()
	}
}

func (s *section) leave() {
	switch s.flavour {
	case ReadLock:
		s.guard.Unlock()
	case Disable:
		s.pin.Enable()
	case DisableIRQ:
		s.irq.Restore()
	case RawLock:
		s.raw.Unlock()
	case Reader:
		s.reader.Unlock()
	case Readers:
		s.reader.Unlock()
		s.reader.Close()
	}
}

// Updater is a way to wait for a grace period. after is what follows it.
type Updater struct {
	Name   string
	wait   func(w *worker, after func())
	before func(w *worker) // of a mutant: runs before the first accesses
}

// Updaters are the library's ways.
var Updaters = []Updater{
	{Name: "Synchronize", wait: func(_ *worker, after func()) {
		rcu.Synchronize()
		after()
	}},
	{Name: "SynchronizeExpedited", wait: func(_ *worker, after func()) {
		rcu.SynchronizeExpedited()
		after()
	}},
	{Name: "StartPoll+Poll", wait: func(_ *worker, after func()) {
		for c := rcu.StartPoll(); !rcu.Poll(c); {
			giveWay()
		}
		after()
	}},
	{Name: "GetState+CondSynchronize", wait: func(_ *worker, after func()) {
		rcu.CondSynchronize(rcu.GetState())
		after()
	}},
	{Name: "Call", wait: func(w *worker, after func()) {
		w.done.Store(false)
		rcu.Call(func() { // the second access is the callback's own
			after()
			w.done.Store(true)
		})
		for !w.done.Load() {
			giveWay()
		}
	}},
}

func giveWay() {
	sys.Pause(10)
	runtime.Gosched()
}
