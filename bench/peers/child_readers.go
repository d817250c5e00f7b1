package main

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/puzpuzpuz/xsync/v4"

	"quiesce/internal/sys"
	"quiesce/preempt"
	"quiesce/rcu"
)

// Each chunk has its loop to itself, so that what inlines in a user's program
// inlines here.

func chunkRCU() {
	for range chunkPairs {
		g := rcu.ReadLock()
		g.Unlock()
	}
}

// chunksReader is one goroutine's registered reader.
func chunksReader() func() {
	r := rcu.NewReader() // for as long as the process
	return func() {
		for range chunkPairs {
			r.ReadLock()
			r.Unlock()
		}
	}
}

func chunkPinned() {
	for range chunkPairs {
		p := preempt.Disable()
		p.Enable()
	}
}

func chunkProcPin() {
	for range chunkPairs {
		sys.ProcPin()
		sys.ProcUnpin()
	}
}

var rwMutex sync.RWMutex

func chunkRWMutex() {
	for range chunkPairs {
		rwMutex.RLock()
		rwMutex.RUnlock() //lint:ignore SA2001 the empty section is what is measured
	}
}

var rbMutex = xsync.NewRBMutex()

func chunkRBMutex() {
	for range chunkPairs {
		rbMutex.RUnlock(rbMutex.RLock())
	}
}

var published atomic.Pointer[obj64]

func chunkPointer() {
	var p *obj64
	for range chunkPairs {
		p = published.Load()
	}
	runtime.KeepAlive(p)
}

// The grace periods.

func synchronize(n int) {
	for range n {
		rcu.Synchronize()
	}
}

func membarriers(n int) {
	for range n {
		sys.Membarrier()
	}
}

func readerPreemptible(pause uint32) {
	g := rcu.ReadLock()
	sys.Pause(pause)
	g.Unlock()
}

func readerPinned(pause uint32) {
	p := preempt.Disable()
	sys.Pause(pause)
	p.Enable()
}

// gracePeriods measures wait without readers and with a busy one, and the way
// from rcu.Call to its callback.
func gracePeriods(reader func(pause uint32), wait func(n int)) func(*task) error {
	return func(t *task) error {
		switch t.mode {
		case "sync":
			t.run(wait, 1)
		case "busy":
			stop := busyReader(reader)
			t.run(wait, 1)
			stop()
		case "call":
			done := make(chan struct{})
			t.run(func(n int) {
				for range n {
					rcu.Call(func() { done <- struct{}{} })
					<-done
				}
			}, 1)
		default:
			return t.noSuchMode()
		}
		return nil
	}
}

// busyReader is in a section of about a microsecond nearly all the time, until
// stop is called.
func busyReader(section func(pause uint32)) (stop func()) {
	const try = 1000
	sys.Pause(try)
	start := time.Now()
	sys.Pause(try)
	pause := uint32(try*1000/max(time.Since(start).Nanoseconds(), 1)) + 1

	var end atomic.Bool
	var wg sync.WaitGroup
	running := make(chan struct{})
	wg.Go(func() {
		close(running)
		for !end.Load() {
			section(pause)
		}
	})
	<-running
	return func() {
		end.Store(true)
		wg.Wait()
	}
}
