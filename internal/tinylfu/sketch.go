package tinylfu

// sketch estimates how often a hash was counted of late: a count-min sketch of
// four rows of 4-bit counters. A hash's four counters lie in one block, which is
// one cache line; row i has words 2i and 2i+1 of every block.
type sketch struct {
	blocks [][8]uint64 // a power of two of them
	shift  uint        // of a hash: what remains is its block's number

	counted, period int // increments since the halving before, and to the next
	sweep           int // blocks below it are halved; len(blocks): all are
}

const (
	// entriesPerBlock gives an entry 16 counters, 4 of each row: 8 bytes.
	entriesPerBlock = 8
	// periodPerEntry is the W in TinyLFU's W/C: a period is as many counts for
	// each entry. 15 is the most a counter holds.
	periodPerEntry = 10
	leastPeriod    = 64
	// sweepBlocks are halved with each count until all are: no call halves a
	// large sketch alone.
	sweepBlocks = 32

	lowThrees = 0x7777777777777777
)

// fit makes the sketch large enough for so many entries. What was counted stays.
func (s *sketch) fit(entries int) {
	for len(s.blocks)*entriesPerBlock < entries || len(s.blocks) == 0 {
		s.grow()
	}
}

// grow doubles the sketch. A hash's block becomes two with the counters of the
// one, so estimates stay what they were.
func (s *sketch) grow() {
	if len(s.blocks) == 0 {
		s.blocks, s.shift = make([][8]uint64, 1), 32
		s.sweep = 1
		return
	}
	s.finish()
	blocks := make([][8]uint64, 2*len(s.blocks))
	for i, b := range s.blocks {
		blocks[2*i], blocks[2*i+1] = b, b
	}
	s.blocks = blocks
	s.shift--
	s.sweep = len(blocks)
}

// block returns a hash's block, and the bits that choose its counters.
func (s *sketch) block(hash uint32) (b *[8]uint64, choice uint32) {
	return &s.blocks[uint64(hash)>>s.shift], uint32(uint64(hash) * 0x9e3779b97f4a7c15 >> 32)
}

// count counts a hash once more, unless all its counters are at their most.
func (s *sketch) count(hash uint32) {
	if s.sweep < len(s.blocks) {
		s.halve(sweepBlocks)
	}
	b, c := s.block(hash)
	added := uint64(0)
	for row := range uint32(4) {
		w := &b[row<<1|c&1]
		at := c >> 1 & 15 << 2
		if *w>>at&15 != 15 {
			*w += 1 << at
			added = 1
		}
		c >>= 8
	}
	s.counted += int(added)
	if s.counted >= s.period {
		s.finish()
		s.sweep = 0
		s.counted /= 2
	}
}

// estimate returns a hash's frequency: 0 to 15, rarely more than was counted.
func (s *sketch) estimate(hash uint32) int {
	b, c := s.block(hash)
	least := uint64(15)
	for row := range uint32(4) {
		least = min(least, b[row<<1|c&1]>>(c>>1&15<<2)&15)
		c >>= 8
	}
	return int(least)
}

// halve halves the next n blocks of the sweep.
func (s *sketch) halve(n int) {
	to := min(s.sweep+n, len(s.blocks))
	for i := s.sweep; i < to; i++ {
		for j, w := range s.blocks[i] {
			s.blocks[i][j] = w >> 1 & lowThrees
		}
	}
	s.sweep = to
}

// finish halves what the sweep has left.
func (s *sketch) finish() { s.halve(len(s.blocks)) }

// bytes is the sketch's memory.
func (s *sketch) bytes() int { return len(s.blocks) * 64 }
