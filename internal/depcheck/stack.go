package depcheck

// stack is an acquisition's stack, kept once for all edges and bits that refer to
// it.
type stack struct {
	n   uint8
	pcs [stackDepth]uintptr
}

// internLocked returns the number of a stack, or 0 if it is empty or there is no
// room.
//
//go:norace
func (r *request) internLocked(pcs []uintptr) uint16 {
	if len(pcs) == 0 {
		return 0
	}
	h := uint64(len(pcs))
	for _, pc := range pcs {
		h = mix(h ^ uint64(pc))
	}
	t := &tables
	i := h % uint64(len(t.byStack))
	for ; t.byStack[i] != 0; i = (i + 1) % uint64(len(t.byStack)) {
		if t.stacks[t.byStack[i]].equal(pcs) {
			return t.byStack[i]
		}
	}
	if t.nstacks == maxStacks {
		r.overflow(fullStacks)
		return 0
	}
	n := uint16(t.nstacks)
	t.nstacks++
	s := &t.stacks[n]
	s.n = uint8(len(pcs))
	//lint:ignore S1001 copy would show the race detector what it must not see
	for j, pc := range pcs {
		s.pcs[j] = pc
	}
	t.byStack[i] = n
	return n
}

//go:norace
func (s *stack) equal(pcs []uintptr) bool {
	if int(s.n) != len(pcs) {
		return false
	}
	for i, pc := range pcs {
		if s.pcs[i] != pc {
			return false
		}
	}
	return true
}
