package predict

// The simulation's reclaim: the service, the calls of FreeRCU that help it, and the
// depots' bound.

// neighbour returns another group whose depot has a sheaf, or -1.
func (s *sim) neighbour(own int) int {
	for i := 1; i < len(s.groups); i++ {
		if of := (own + i) % len(s.groups); s.groups[of].depot > 0 {
			return of
		}
	}
	return -1
}

// admits is depot.admits.
func (s *sim) admits() bool {
	total := 0
	for i := range s.groups {
		total += s.groups[i].depot
	}
	if total < s.bound+s.more {
		return true
	}
	if s.misses > 0 && s.more < s.moreMost {
		s.misses--
		s.more++
		return true
	}
	s.overflow = s.now
	return false
}

// missed is depot.missed.
func (s *sim) missed() {
	if s.overflow > 0 && s.now-s.overflow < missFor {
		s.misses++
	}
}

// collect takes what is pending for a grace period.
func (s *sim) collect() (any bool) {
	for i := range s.groups {
		g := &s.groups[i]
		g.collected, g.pending = g.pending, 0
		any = any || g.collected > 0
	}
	s.graceOver = false
	return any
}

func (s *sim) collected() (n int) {
	for i := range s.groups {
		n += s.groups[i].collected
	}
	return n
}

// ripen makes up to most of the collected sheaves ripe.
func (s *sim) ripen(most int) {
	for i := range s.groups {
		g := &s.groups[i]
		n := min(g.collected, most)
		g.collected -= n
		g.ripe += n
		most -= n
	}
}

// takeRipe takes a ripe sheaf, of the own group if there is one, and returns its
// group, or -1.
func (s *sim) takeRipe(own int) int {
	for i := range s.groups {
		of := (own + i) % len(s.groups)
		if s.groups[of].ripe > 0 {
			s.groups[of].ripe--
			return of
		}
	}
	return -1
}

// help is a P's hand-over of others' sheaves: all at once into the depots, beyond
// their bound. The first time it may yield until the grace period is over.
func (s *sim) help(t *task, first bool) {
	if s.handOver(t) {
		s.vain = 0
		return
	}
	switch {
	case s.collected() > 0 && s.graceOver:
		s.ripen(ripeMost)
		if s.handOver(t) {
			s.vain = 0
			return
		}
	case s.collected() == 0 && !s.service.slept && s.collect():
		s.startGrace()
	}
	pending := int(s.waitingSheaves())
	if first && len(s.runq) > 0 && (s.vain > pending || pending >= s.vain+s.vain/4) {
		s.release(t)
		s.ready(t, evHelped, 0)
		return
	}
	if !first {
		s.vain = pending
	}
	s.next(t)
}

// handOver begins to hand over a ripe sheaf, if there is one and the helper has not had
// helpTakes of them.
func (s *sim) handOver(t *task) bool {
	if t.taken == helpTakes {
		return false
	}
	if t.of = s.takeRipe(t.group); t.of < 0 {
		return false
	}
	t.taken++
	s.inHand++
	s.lose(resHelp, s.p.Handover)
	s.runs(t, evUncount, s.p.Handover)
	return true
}

// handedOver is the end of it.
func (s *sim) handedOver(t *task) {
	s.admits()
	s.inHand--
	s.groups[t.of].depot++
	s.reused++
	if !s.handOver(t) {
		t.taken = 0
		s.next(t)
	}
}

// startGrace has a grace period driven for what was collected.
func (s *sim) startGrace() {
	if !s.driver.active {
		s.driver.active = true
		s.gps++
		s.ipis++
		s.ready(s.driver, evGrace, s.gracePeriod())
	}
}

// pass is the service's next step: a grace period, one sheaf, or the end.
func (s *sim) pass(t *task) {
	if t.slept { // the turn begins, or its grace period is over
		switch {
		case t.batch < 0:
			t.slept, t.batch = false, 0
			s.graceOver = true
			s.ripen(1 << 30)
			for i := range s.groups {
				t.batch += s.groups[i].ripe
			}
		case s.collected() > 0 || s.collect():
			t.batch = -1
			if s.graceOver || s.driver.active {
				s.runs(t, evPass, s.gracePeriod()/2) // somebody else's
				return
			}
			s.gps++
			s.ipis++
			s.runs(t, evPass, s.gracePeriod())
			return
		default:
			t.slept = false
		}
	}
	if t.batch > 0 {
		t.batch--
		if t.of = s.takeRipe(t.of); t.of < 0 {
			t.of, t.batch = 0, 0
		} else if s.admits() {
			s.groups[t.of].depot++
			s.reused++
			s.op(t, t.of, resFull, evPass)
			return
		} else {
			s.inHand++
			s.lock(t, evFlushed)
			return
		}
	}
	s.release(t)
	if s.waitingSheaves()*s.sheaf*objectSize >= gatherBytes {
		s.at(s.now+s.p.Pace, t, evAwake)
	} else {
		t.active = false
	}
}
