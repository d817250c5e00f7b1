//go:build lockdep

package depcheck

import (
	"slices"
	"strings"
)

// Tagged says whether this is a build with -tags lockdep, which also sees readers,
// pinned sections and allocations that never leave their fast paths.
const Tagged = true

// Section identifies a read-side or pinned section. The zero value is no section.
type Section struct{ id uint64 }

// unknown is the number of a section that began while lockdep was off, or that
// a table had no room for.
const unknown = ^uint64(0)

// Zero reports whether Enter did not make the section.
func (s Section) Zero() bool { return s.id == 0 }

// known reports whether lockdep may know the section.
func (s Section) known() bool { return s.id != 0 && s.id != unknown && Enabled() }

// Enter begins a section of a type that is made for sections.
//
//go:norace
func Enter(ty *SectionType) Section {
	if !Enabled() {
		return Section{unknown}
	}
	var r request
	r.record(1)
	r.begin()
	t := r.find(true)
	if t != nil {
		r.h = held{id: serial.Add(1), read: readRecursive, flags: flagSection, n: uint8(r.n), pcs: r.pcs}
		if ty == PreemptDisabled {
			r.h.pins = 1
		}
		r.acquire(t, &ty.Type, &ty.dep, 0)
		t.mu.unlock()
	}
	r.end()
	if r.h.id == 0 {
		return Section{unknown}
	}
	return Section{r.h.id}
}

// Exit ends the section; name is the call's name in a report. It returns false if
// there is nothing to end, which was reported: the caller must not count that as
// an end, or readers are miscounted from then on.
//
//go:norace
func (s Section) Exit(name string) bool {
	if !s.known() {
		return true
	}
	var r request
	return r.releaseOwn(s.id) || s.exitElsewhere(name)
}

// exitElsewhere ends a section that the calling goroutine is not in: either
// another goroutine is, which is allowed, or none is, which is not.
//
//go:norace
//go:noinline
func (s Section) exitElsewhere(name string) bool {
	var r request
	r.record(2)
	r.begin()
	was := removeAnywhere(s.id, nil) != 0 || s.id <= tables.firstID.Load() || r.endLost()
	if !was {
		r.goid = goid()
		r.reportUnbalance(name, false)
	}
	r.end()
	return was
}

// Adopt moves the section to the calling goroutine.
//
//go:norace
func (s Section) Adopt() {
	if !s.known() {
		return
	}
	var r request
	r.begin()
	var h held
	if removeAnywhere(s.id, &h) != 0 {
		if t := r.find(true); t != nil {
			if t.depth < maxHeld {
				t.push(&h)
			} else {
				r.overflow(fullHeld)
				t.lost++
			}
			t.mu.unlock()
		}
	}
	r.end()
}

// Open reports whether the section has begun and not ended.
//
//go:norace
func (s Section) Open() bool {
	if !s.known() {
		return true
	}
	var r request
	r.begin()
	open := s.id <= tables.firstID.Load() || existsAnywhere(s.id) || tables.full.Load()&(fullClasses|fullTasks|fullHeld) != 0
	r.end()
	return open
}

// OldestSection returns the goroutine that is in the read-side section that began
// first, or 0 if none is known, and where the section began.
//
// Context: task; not pinned.
//
//go:norace
func OldestSection() (goroutine uint64, stack string) {
	if !Enabled() {
		return 0, ""
	}
	var oldest held
	var r request
	r.begin()
	gen := tables.gen.Load()
	for i := range taskShards {
		s := &taskShards[i]
		s.mu.lock()
		for t := s.list; t != nil; t = t.next {
			t.mu.lock()
			for j := int32(0); t.gen == gen && j < t.depth; j++ {
				if h := t.at(j); h.flags&flagSection != 0 && (goroutine == 0 || h.id < oldest.id) {
					goroutine, oldest = t.goid, *h
				}
			}
			t.mu.unlock()
		}
		s.mu.unlock()
	}
	r.end()
	if goroutine == 0 {
		return 0, ""
	}
	var b strings.Builder
	writeStack(&b, slices.Clone(oldest.pcs[:oldest.n]))
	return goroutine, b.String()
}

//go:norace
func existsAnywhere(id uint64) bool { return visit(id, nil, false) != 0 }
