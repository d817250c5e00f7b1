package torture

import (
	"runtime"
	"time"

	"quiesce/internal/sys"
	"quiesce/preempt"
	"quiesce/rcu"
)

// onoff changes GOMAXPROCS: the counterpart of CPU hotplug.
func (s *session) onoff() {
	r := s.random("onoff", 0)
	s.sleep(seconds(s.p.onoffHoldoff))
	least, most := 1, s.mostProcs()
	for !s.stop.Load() {
		n := least + r.IntN(most-least+1)
		start := time.Now()
		runtime.GOMAXPROCS(n)
		took := uint64(time.Since(start))
		s.onoffs.Add(1)
		maxStore(&s.onoffMax, took)
		s.sleep(seconds(s.p.onoffInterval / 1000))
		s.pause()
	}
	runtime.GOMAXPROCS(s.procs)
}

// mostProcs is the highest GOMAXPROCS that onoff sets.
func (s *session) mostProcs() int { return s.procs + 2 }

// shuffle rests one reader after another. There are no affinities to change
// here; what the kernel wants is a CPU that goes idle.
func (s *session) shuffle() {
	r := s.random("shuffle", 0)
	for !s.stop.Load() {
		s.resting.Store(int32(r.IntN(s.nreaders)))
		s.sleep(seconds(s.p.shuffleInterval))
		s.shuffles.Add(1)
	}
	s.resting.Store(-1)
}

// stutterer pauses all threads now and then, so that everything goes idle and
// starts again.
func (s *session) stutterer() {
	on := min(seconds(s.p.stutter), s.length/3)
	for !s.stop.Load() {
		s.sleep(on)
		s.paused.Store(true)
		s.sleep(min(on/4, time.Second/2))
		s.stutters.Add(1)
		s.paused.Store(false)
	}
}

// pause waits while all threads pause.
//
// Context: task; not pinned, and outside of sections.
func (s *session) pause() {
	for s.paused.Load() && !s.stop.Load() {
		time.Sleep(time.Millisecond)
	}
}

// stall holds a section for stall_cpu seconds, once. No grace period that
// began in it may end, and the library must report it.
func (s *session) stall() {
	s.sleep(min(seconds(s.p.stallHoldoff), s.length/4))
	if s.stop.Load() {
		return
	}
	d := min(seconds(s.p.stallCPU), s.length/2)
	before := rcu.ReadStats().Stalls
	s.stalling.Store(true)
	start := sys.Nanotime()
	var asked bool
	var cookie rcu.Cookie
	var gps uint64
	held := func() {
		gps = s.ops.completed()
		cookie = s.ops.start() // a grace period is wanted
		if s.p.stallBlock && !s.p.stallIRQsOff {
			s.sleep(d)
		} else {
			spin(d)
		}
		asked = s.ops.poll(cookie)
		gps = s.ops.completed() - gps
	}
	if s.p.stallIRQsOff {
		irq := preempt.DisableIRQ()
		held()
		irq.Restore()
	} else {
		g := rcu.ReadLock()
		held()
		g.Unlock()
	}
	s.stalling.Store(false)
	lasted := time.Duration(sys.Nanotime() - start)
	// The driver may be waiting for a processor, with its report ready.
	for wait := 0; wait < 200 && rcu.ReadStats().Stalls == before; wait++ {
		sys.Sleep(10_000_000)
	}
	reported := rcu.ReadStats().Stalls - before
	s.stalls.Add(1)
	s.stallReports.Add(reported)
	if asked || gps > 1 {
		s.fail("stall", "%d grace periods ended in a section of %v; its own cookie done: %v", gps, lasted, asked)
	}
	// Pinned, without membarrier, the driver itself can't run to report it.
	canReport := s.ops.stallsAreReport && (!s.p.stallIRQsOff || sys.HasMembarrier())
	if canReport && reported == 0 && lasted > seconds(s.p.stallTime)+2*time.Second {
		s.fail("stall", "a reader held its section for %v and was not reported (rcu_cpu_stall_timeout %v s)", lasted, s.p.stallTime)
	}
}

// hang is plant_hang: a reader that never leaves.
func (s *session) hang() {
	s.sleep(time.Second / 2)
	g := rcu.ReadLock()
	<-s.never
	g.Unlock()
}
