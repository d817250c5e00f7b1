package tinylfu

import "fmt"

// core is W-TinyLFU with a window that stays as it is: three lists, and what
// decides which entry leaves. The policy has one over the cache's entries, and
// each of its trials has one over entries of its own.
type core[E Entries] struct {
	entries  E
	sketch   *sketch // shared with the trials: a request is counted once
	lists    [numLists]list
	capacity uint64 // of all lists together
	size     uint64 // what they hold
	arm      arm

	windowMax, protectedMax uint64 // of the capacity

	// candidate is the window's oldest entry after it was admitted, until its
	// victims have left. It goes to probation then. 0: none.
	candidate uint32

	random uint64
}

// arm is a way to run the lists. The trials find out which is best.
type arm struct {
	window float64 // the window's share of the capacity
	margin int     // by which a candidate's frequency has to exceed its victims'
}

const (
	// protectedShare is the protected list's, of what the window leaves.
	protectedShare = 0.8
	// freeMoves bounds how many entries one call moves from list to list.
	freeMoves = 64
	// chances is how many used entries stay in the protected list for one that leaves
	// it. Untuned.
	chances = 8
	// warm is the frequency from which on a candidate that lost is let in once
	// in luckyOf: otherwise keys that collide with a hot one in the sketch, by
	// chance or malice, would keep everything else out for ever.
	warm    = 6
	luckyOf = 128
)

// split divides the capacity. The window has room for one entry of mean size at
// least, so that a small cache has one.
func (p *core[E]) split() {
	least := uint64(1)
	if n := p.Len(); n > 0 {
		least = (p.size + uint64(n) - 1) / uint64(n)
	}
	p.windowMax = min(max(uint64(p.arm.window*float64(p.capacity)), least), p.capacity)
	p.protectedMax = uint64(protectedShare * float64(p.capacity-p.windowMax))
}

// Len is the number of entries.
func (p *core[E]) Len() int {
	return p.lists[window].len + p.lists[probation].len + p.lists[protected].len
}

// Size is the sum of the entries' sizes.
func (p *core[E]) Size() uint64 { return p.size }

// Capacity is what Size has to stay below or at, once Evict has no victim.
func (p *core[E]) Capacity() uint64 { return p.capacity }

// add makes an entry the window's newest. One that would fill the window alone
// becomes its oldest, and so the next candidate: it does not flush the others.
func (p *core[E]) add(ref, hash, size uint32) {
	l := p.entries.Links(ref)
	if l.Held() || size > MaxSize {
		panic(fmt.Sprintf("tinylfu: entry %d of size %d, held %v, added", ref, size, l.Held()))
	}
	l.setHash(hash)
	l.set(none, size)
	if uint64(size) > p.windowMax {
		p.split() // the mean size may have changed
	}
	p.size += uint64(size)
	if uint64(size) > p.windowMax {
		p.pushOldest(ref, l, window)
	} else {
		p.push(ref, l, window)
	}
}

// hit makes an entry the window's newest, or notes in the main space that it is used:
// evict moves it when its turn comes, once however often it was hit. So a hit does not
// touch the entry's neighbours, and is rarely more than a write to the entry itself.
func (p *core[E]) hit(ref uint32, l *Links) {
	switch l.list() {
	case window:
		if ref != p.candidate && l.size() <= p.windowMax {
			p.move(ref, l, window)
		}
	case probation, protected:
		l.where |= usedBit
	}
}

// promote makes an entry of probation the newest of the protected list. What is too much
// there goes to probation, the oldest first; of those that are used a few become the
// newest instead. It returns how many entries it moved.
func (p *core[E]) promote(ref uint32) (moved int) {
	p.move(ref, p.entries.Links(ref), protected)
	again := 0
	q := &p.lists[protected]
	for moved = 1; q.size > p.protectedMax && moved < freeMoves; moved++ {
		old := q.oldest
		l := p.entries.Links(old)
		if used := l.where & usedBit; used != 0 && again < chances && old != q.newest {
			again++
			p.move(old, l, protected)
		} else {
			p.move(old, l, probation)
			l.where |= used
		}
	}
	return moved
}

// remove takes an entry out.
func (p *core[E]) remove(ref uint32, l *Links) {
	if ref == p.candidate {
		p.candidate = 0
	}
	p.unlink(l)
	p.size -= l.size()
	l.set(none, 0)
}

// evict takes out the entry that leaves next, if there is not room for all.
func (p *core[E]) evict() (ref uint32, ok bool) {
	for moved := 0; ; {
		over := p.size > p.capacity
		w := &p.lists[window]
		switch {
		case p.candidate != 0 && !over:
			p.move(p.candidate, p.entries.Links(p.candidate), probation)
			p.candidate = 0
		case over && moved < freeMoves && p.usedVictim():
			moved += p.promote(p.lists[probation].oldest)
		case p.candidate == 0 && w.size > p.windowMax && over:
			l := p.entries.Links(w.oldest)
			if !p.admit(l, p.size-p.capacity) {
				return p.drop(w.oldest)
			}
			p.candidate = w.oldest
		case p.candidate == 0 && w.size > p.windowMax && moved < freeMoves:
			p.move(w.oldest, p.entries.Links(w.oldest), probation)
			moved++
		case over:
			return p.drop(p.victim())
		default:
			return 0, false
		}
	}
}

func (p *core[E]) drop(ref uint32) (uint32, bool) {
	p.remove(ref, p.entries.Links(ref))
	return ref, true
}

// usedVictim reports whether the oldest of probation is used: it is promoted, then.
func (p *core[E]) usedVictim() bool {
	v := p.lists[probation].oldest
	return v != 0 && p.entries.Links(v).used()
}

// victim is the main space's next; the window's, if that is empty.
func (p *core[E]) victim() uint32 {
	for _, from := range [...]int{probation, protected, window} {
		if v := p.lists[from].oldest; v != 0 {
			return v
		}
	}
	return 0
}

// admit decides whether a candidate is worth more than all the victims that
// have to leave until the need is met.
func (p *core[E]) admit(c *Links, need uint64) bool {
	have := p.sketch.estimate(c.hash)
	cost := p.arm.margin
	for _, from := range [...]int{probation, protected} {
		for v := p.lists[from].oldest; v != 0; {
			l := p.entries.Links(v)
			if cost += p.sketch.estimate(l.hash); cost >= have {
				return have >= warm && p.rand()%luckyOf == 0
			}
			if l.size() >= need {
				return true
			}
			need -= l.size()
			v = l.next
		}
	}
	return false
}

// rand is xorshift.
func (p *core[E]) rand() uint64 {
	p.random ^= p.random << 13
	p.random ^= p.random >> 7
	p.random ^= p.random << 17
	return p.random
}
