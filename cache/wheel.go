package cache

// wheel has the entries with deadlines, each in a slot of a level. A slot of level
// 0 covers a tick, one of the next level as many ticks as level 0 has slots, and so
// on. When the time comes to a slot of a higher level, its entries are moved to
// lower ones. Everything is protected by shard.mu.
//
// A slot is a list, linked by the numbers of the entries. The first of a list has
// the slot's index, which is below firstRef, in place of its predecessor.
type wheel struct {
	first [wheelLevels * wheelSlots]uint32
	tick  int64 // the first that has not passed yet
	n     int
}

const (
	wheelLevels = 3
	slotBits    = 6
	wheelSlots  = 1 << slotBits
	tickBits    = 27 // 134 ms: the levels cover 8.6 s, 9 min, 9.8 h
)

var _ [firstRef - wheelLevels*wheelSlots]struct{}

// slotFor returns the slot of a deadline. One that is further than the highest
// level reaches is in that level's last slot, and looked at again then.
func (w *wheel) slotFor(deadline int64) int {
	tick := max(deadline>>tickBits, w.tick)
	for level := range wheelLevels {
		shift := level * slotBits
		if d := tick>>shift - w.tick>>shift; d < wheelSlots {
			return level*wheelSlots + int(tick>>shift&(wheelSlots-1))
		}
	}
	const top = wheelLevels - 1
	return top*wheelSlots + int((w.tick>>(top*slotBits)-1)&(wheelSlots-1))
}

// add takes in an entry with a deadline.
func (w *wheel) add(e *entries, ref uint32, t *timer, now int64) {
	if w.n == 0 {
		w.tick = now >> tickBits
	}
	w.n++
	s := w.slotFor(t.deadline)
	t.prev, t.next = uint32(s), w.first[s]
	if t.next != 0 {
		e.timer(t.next).prev = ref
	}
	w.first[s] = ref
}

// remove takes an entry out.
func (w *wheel) remove(e *entries, t *timer) {
	if t.prev < firstRef {
		w.first[t.prev] = t.next
	} else {
		e.timer(t.prev).next = t.next
	}
	if t.next != 0 {
		e.timer(t.next).prev = t.prev
	}
	w.n--
}

// due takes out an entry whose deadline has passed. It returns 0 if there is none at
// the moment, or, with more set, after some moves between levels.
func (w *wheel) due(e *entries, now int64, moves int) (ref uint32, more bool) {
	for end := now >> tickBits; w.n > 0 && w.tick < end; {
		s := w.current()
		if s < 0 {
			w.tick = min(w.tick+w.skip(), end)
			continue
		}
		ref := w.first[s]
		t := e.timer(ref)
		w.remove(e, t)
		if t.deadline <= now {
			return ref, true
		}
		w.add(e, ref, t, now)
		if moves--; moves < 0 {
			return 0, true
		}
	}
	return 0, false
}

// current returns the slot to empty before the tick has passed, or -1: that of the
// tick, or of a higher level whose time begins with it.
func (w *wheel) current() int {
	for level := wheelLevels - 1; level >= 0; level-- {
		shift := level * slotBits
		if s := level*wheelSlots + int(w.tick>>shift&(wheelSlots-1)); w.tick&(1<<shift-1) == 0 && w.first[s] != 0 {
			return s
		}
	}
	return -1
}

// skip returns after how many ticks there may be something again.
func (w *wheel) skip() int64 {
	ticks := int64(1)
	for level := range wheelLevels - 1 {
		shift := (level + 1) * slotBits
		if w.tick&(1<<shift-1) != 0 {
			break
		}
		for s := range wheelSlots {
			if w.first[level*wheelSlots+s] != 0 {
				return ticks
			}
		}
		ticks = 1 << shift
	}
	return ticks
}
