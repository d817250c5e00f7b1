package predict

// The simulation's clock, Go's scheduler and the locks.

func (s *sim) at(when float64, t *task, k kind) {
	s.seq++
	s.heap = append(s.heap, event{when, s.seq, t, k})
	i := len(s.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !s.heap[i].before(&s.heap[up]) {
			break
		}
		s.heap[i], s.heap[up] = s.heap[up], s.heap[i]
		i = up
	}
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.seq < o.seq }

func (s *sim) pop() event {
	e := s.heap[0]
	n := len(s.heap) - 1
	s.heap[0] = s.heap[n]
	s.heap = s.heap[:n]
	for i := 0; ; {
		c := 2*i + 1
		if c >= n {
			return e
		}
		if c+1 < n && s.heap[c+1].before(&s.heap[c]) {
			c++
		}
		if !s.heap[c].before(&s.heap[i]) {
			return e
		}
		s.heap[c], s.heap[i] = s.heap[i], s.heap[c]
		i = c
	}
}

// runs keeps t on its processor for d, unless its quantum is over and others
// wait: then it queues after them.
func (s *sim) runs(t *task, next kind, d float64) {
	if s.now-t.since >= quantum && len(s.runq) > 0 {
		s.release(t)
		s.ready(t, next, d)
		return
	}
	if t == s.service && s.on {
		s.workerBusy += d
	}
	s.at(s.now+d, t, next)
}

// ready gives t a processor, now or when one is free.
func (s *sim) ready(t *task, next kind, d float64) {
	t.next, t.after, t.asked = next, d, s.now
	switch {
	case s.idle > 0:
		s.idle--
		s.give(t)
	case t.worker && s.l.Design.WakeNow:
		s.runq = append([]*task{t}, s.runq...)
		s.preempt()
	default:
		s.runq = append(s.runq, t)
	}
}

// preempt ends one churner's quantum.
func (s *sim) preempt() {
	for range 8 {
		if t := s.churn[s.rng.IntN(len(s.churn))]; t.onP {
			t.since = s.now - quantum
			return
		}
	}
}

func (s *sim) give(t *task) {
	waited := s.now - t.asked
	switch {
	case !t.worker:
		s.lose(resProc, waited)
	case s.on && t == s.service:
		if t.next == evPass && t.slept {
			s.waits++
			s.waited += waited
		}
		s.workerBusy += t.after
	}
	t.onP, t.since = true, s.now
	s.at(s.now+t.after, t, t.next)
}

// release takes t's processor away and gives it to the next waiter.
func (s *sim) release(t *task) {
	t.onP = false
	if len(s.runq) > 0 {
		n := s.runq[0]
		s.runq = s.runq[1:]
		s.give(n)
		return
	}
	s.idle++
}

// hold is how long the section of the slab lock lasts that ends with k.
func (s *sim) hold(t *task, m *mutex, k kind) float64 {
	if k == evFlushed {
		return s.sheaf * s.flush * (1 - s.l.Design.Outside)
	}
	d := s.sheaf * s.refill * (1 - s.l.Design.Outside)
	s.atPs++
	if g := &s.groups[t.group]; s.l.Design.Recheck && g.depot > 0 {
		g.depot--
		return s.p.StackOp
	}
	if m.slabFree > 0 {
		m.slabFree--
		return d
	}
	m.made++
	if !s.on {
		return 0 // see Load.Warm
	}
	// New slabs: their pages come through the zone lock.
	blocks := s.sheaf / perSlab
	z := &s.zone
	wait := max(z.free-s.now, 0)
	z.free = s.now + wait + blocks*s.p.PageBlock
	z.busy += blocks * s.p.PageBlock
	s.lose(resZone, wait)
	return d + wait + blocks*s.p.PageBlock
}

// lock takes the slab lock, or waits for it without a processor. k is the end
// of the section.
func (s *sim) lock(t *task, k kind) {
	m := &s.locks[t.lock]
	if m.held {
		t.want, t.lockAt = k, s.now
		m.queue = append(m.queue, t)
		s.release(t)
		return
	}
	s.own(m, t, k)
}

// grab is the next try of a waiter that was woken and has its processor.
func (s *sim) grab(m *mutex, t *task) {
	switch {
	case m.heir == t:
		m.heir = nil
	case m.held:
		m.woken = false
		m.queue = append([]*task{t}, m.queue...)
		s.release(t)
		return
	default:
		m.woken = false
	}
	if !t.worker {
		s.lose(resLock, s.now-t.lockAt)
	}
	s.own(m, t, t.want)
}

func (s *sim) own(m *mutex, t *task, k kind) {
	m.held, m.since = true, s.now
	d := s.p.SpinAlone + s.hold(t, m, k)
	if !t.worker {
		s.lose(resRefill, d)
	}
	s.runs(t, k, d)
}

// unlock lets the next one in: woken, it competes with any P that comes by,
// unless it has waited for too long.
func (s *sim) unlock(m *mutex) {
	m.held = false
	if s.on {
		m.busy += s.now - max(m.since, s.l.Warm)
	}
	if len(m.queue) == 0 || m.woken {
		return
	}
	t := m.queue[0]
	m.queue = m.queue[1:]
	if s.now-t.lockAt > starving {
		m.held, m.heir, m.since = true, t, s.now
	} else {
		m.woken = true
	}
	s.at(s.now+s.p.SpinHandoff, t, evWoken)
}

// begin starts the measured time.
func (s *sim) begin() {
	s.account(s.l.Warm)
	s.on = true
	s.lastAt = s.l.Warm
	s.cycles, s.reused, s.bulk, s.gps = 0, 0, 0, 0
	s.zone.busy = 0
	for i := range s.groups {
		for j := range s.groups[i].shared {
			s.groups[i].shared[j].busy = 0
		}
	}
	s.cookie.busy = 0
	s.pend0 = s.waitingSheaves()
}

// account adds up what is integrated over time, up to now.
func (s *sim) account(now float64) {
	d := now - s.lastAt
	s.lastAt = now
	if s.on {
		s.area += d * s.waitingSheaves()
		s.procBusy += d * float64(s.l.Ps-s.idle)
	}
}

func (s *sim) waitingSheaves() (n float64) {
	for i := range s.groups {
		g := &s.groups[i]
		n += float64(g.pending + g.collected + g.ripe)
	}
	return n + float64(s.inHand)
}

func (s *sim) lose(what string, d float64) {
	if s.on {
		s.lost[what] += d
	}
}

func (s *sim) result() Result {
	t, ps := s.l.Nanos, float64(s.l.Ps)
	r := Result{Objects: s.cycles * s.sheaf, Lost: map[string]float64{}, Busy: map[string]float64{}}
	r.Total = r.Objects / t * 1e9
	r.PerP = r.Total / ps
	if r.Objects > 0 {
		r.CPUPerObj = s.procBusy / r.Objects
	}
	if n := s.reused + s.bulk; n > 0 {
		r.Reused = s.reused / n
	}
	for _, k := range resources {
		if v := s.lost[k] / (t * ps); v > 0 {
			r.Lost[k] = v
		}
	}
	for i := range s.groups {
		for j, name := range [...]string{resFull, resEmpty, resPending, resCounts} {
			r.Busy[name] = max(r.Busy[name], min(s.groups[i].shared[j].busy/t, 1))
		}
	}
	r.Busy[resCookie] = min(s.cookie.busy/t, 1)
	made := 0.0
	for i := range s.locks {
		m := &s.locks[i]
		r.Busy[resLock] = max(r.Busy[resLock], min(m.busy/t, 1))
		made += float64(m.made)
	}
	r.Busy[resZone] = min(s.zone.busy/t, 1)
	r.Busy[resWorker] = min(s.workerBusy/t, 1)
	r.InFlight = s.area / t * (s.sheaf*objectSize + pageBytes)
	// Of each P: main, spare, RCU and reserve sheaf; the objects of a filled
	// spare are among those that the simulation counts, half of it on average.
	r.Held = made*(s.sheaf*objectSize+pageBytes) + ps*(1.5*s.sheaf*objectSize+3*pageBytes)
	r.Growth = (s.waitingSheaves() - s.pend0) / t * 1e9 * s.sheaf * objectSize
	r.GracePer = s.gps / t * 1e9
	if s.waits > 0 {
		r.WorkerWait = s.waited / s.waits
	}
	return r
}
