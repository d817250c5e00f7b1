package tinylfu

// sketch estimates how often a hash was counted of late: a count-min sketch of
// four rows of 4-bit counters. A hash's four counters lie in one block, which is
// one cache line; row i has words 2i and 2i+1 of every block.
//
// A block has the hashes that end in its number. There are as many as the entries
// need, not a power of two: block i splits into i and i+2^k as they come, one at a
// time, and the two join again as entries leave (linear hashing). The blocks lie in
// chunks, which the policy's owner gives and gets back.
type sketch struct {
	chunks []*Chunk
	n      int    // blocks
	mask   uint32 // the least 2^k-1 that is not below n-1

	lean            bool // see wanted
	counted, period int  // increments since the halving before, and to the next
	sweep           int  // blocks from it on are halved; 0: all are
}

type block [8]uint64

const (
	blockBytes  = 64
	chunkBlocks = 64
)

// Chunk is memory for the policy's sketch: 4 KiB, zero to begin with.
type Chunk [chunkBlocks]block

const (
	// entryBytes are what an entry has of the sketch: 16 counters, 4 of each row.
	// Where sizes are bytes, and entries small, it is a part of their mean size,
	// but leastBytes at least: what the sketch takes the entries lack. On the traces
	// half the sketch costs a fifth of a point, and a third of it a third.
	entryBytes = 8
	entryPart  = 54
	leastBytes = 2
	// stepBlocks is how many blocks a count splits or joins at most.
	stepBlocks = 4
	// periodPerEntry is the W in TinyLFU's W/C: a period is as many counts for
	// each entry. 15 is the most a counter holds.
	periodPerEntry = 10
	leastPeriod    = 64
	// sweepBlocks are halved with each count until all are: no call halves a
	// large sketch alone.
	sweepBlocks = 32

	lowThrees = 0x7777777777777777
)

// wanted is how many blocks entries need whose sizes add up to size.
func (s *sketch) wanted(entries int, size uint64) int {
	bytes := entries * entryBytes
	if s.lean {
		bytes = min(bytes, max(int(size/entryPart), entries*leastBytes, chunkBlocks*blockBytes))
	}
	return max((bytes+blockBytes-1)/blockBytes, 1)
}

// excess is how many blocks more than wanted stay, so that a cache whose entries
// become more and fewer in turn does not split and join all the time.
func excess(want int) int { return want/4 + chunkBlocks }

// fit lets the sketch follow the entries, a few blocks at a time and as far as there
// are chunks. What was counted stays.
func (s *sketch) fit(entries int, size uint64) {
	want := s.wanted(entries, size)
	for range stepBlocks {
		switch {
		case s.n < want && s.n < len(s.chunks)*chunkBlocks:
			s.split()
		case s.n > want+excess(want):
			s.join()
		default:
			return
		}
	}
}

// need is how many chunks the sketch lacks for the entries, or less than 0 if it has
// some that it does not use.
func (s *sketch) need(entries int, size uint64) int {
	inChunks := func(blocks int) int { return (blocks + chunkBlocks - 1) / chunkBlocks }
	want, have := inChunks(s.wanted(entries, size)), len(s.chunks)
	return max(want, min(inChunks(s.n), have)) - have
}

// give adds a chunk.
func (s *sketch) give(c *Chunk) {
	s.chunks = append(s.chunks, c)
	if s.n == 0 {
		s.n = 1
	}
}

// take takes the last chunk, which has no blocks; nil: it has.
func (s *sketch) take() *Chunk {
	last := len(s.chunks) - 1
	if s.n > last*chunkBlocks {
		return nil
	}
	c := s.chunks[last]
	s.chunks[last] = nil
	s.chunks = s.chunks[:last]
	return c
}

func (s *sketch) at(i int) *block { return &s.chunks[i/chunkBlocks][i%chunkBlocks] }

// split makes a block of the part of another's hashes that end in the number of the
// new one. Both have the counters of the one, so estimates stay what they were.
func (s *sketch) split() {
	if uint32(s.n) > s.mask {
		s.mask = s.mask<<1 | 1
	}
	from := s.n & int(s.mask>>1)
	to := s.at(s.n)
	*to = *s.at(from)
	if from < s.sweep { // the new one is beyond the sweep
		to.halve()
	}
	s.n++
}

// join has the last block's hashes in the one that it was split from again. A counter
// is the larger of the two: at least what each hash has.
func (s *sketch) join() {
	s.n--
	from := s.at(s.n)
	into := s.n & int(s.mask>>1)
	to := s.at(into)
	if s.sweep > s.n {
		s.sweep = s.n
	} else if into < s.sweep {
		from.double() // until the sweep comes there
	}
	for i := range to {
		to[i] = larger(to[i], from[i])
	}
	*from = block{}
	if uint32(s.n-1) <= s.mask>>1 {
		s.mask >>= 1
	}
}

// larger returns the larger of each two counters.
func larger(a, b uint64) (w uint64) {
	for at := 0; at < 64; at += 4 {
		w |= max(a>>at&15, b>>at&15) << at
	}
	return w
}

// block returns a hash's block, and the bits that choose its counters. The lowest bit
// of the hash is not part of it.
func (s *sketch) block(hash uint32) (b *block, choice uint32) {
	hash >>= 1
	i := hash & s.mask
	if i >= uint32(s.n) {
		i &= s.mask >> 1
	}
	return s.at(int(i)), uint32(uint64(hash) * 0x9e3779b97f4a7c15 >> 32)
}

// count counts a hash once more, unless all its counters are at their most. Of its
// counters only the least are raised: the others have more by other hashes.
func (s *sketch) count(hash uint32) {
	if s.sweep > 0 {
		s.halve(sweepBlocks)
	}
	b, c := s.block(hash)
	least := b.least(c)
	if least < 15 {
		for row := range uint32(4) {
			w := &b[row<<1|c&1]
			if at := c >> 1 & 15 << 2; *w>>at&15 == least {
				*w += 1 << at
			}
			c >>= 8
		}
		s.counted++
	}
	if s.counted >= s.period {
		s.finish()
		s.sweep = s.n
		s.counted /= 2
	}
}

// estimate returns a hash's frequency: 0 to 15, rarely more than was counted.
func (s *sketch) estimate(hash uint32) int {
	b, c := s.block(hash)
	return int(b.least(c))
}

// least returns the least of the counters that are chosen.
func (b *block) least(c uint32) uint64 {
	least := uint64(15)
	for row := range uint32(4) {
		least = min(least, b[row<<1|c&1]>>(c>>1&15<<2)&15)
		c >>= 8
	}
	return least
}

// halve halves the next n blocks of the sweep, from the last to the first.
func (s *sketch) halve(n int) {
	for to := max(s.sweep-n, 0); s.sweep > to; {
		s.sweep--
		s.at(s.sweep).halve()
	}
}

func (b *block) halve() {
	for j, w := range b {
		b[j] = w >> 1 & lowThrees
	}
}

// double undoes halve, but for the bits that it dropped.
func (b *block) double() {
	for j, w := range b {
		b[j] = w & lowThrees << 1
	}
}

// finish halves what the sweep has left.
func (s *sketch) finish() { s.halve(s.sweep) }

// bytes is the sketch's memory.
func (s *sketch) bytes() int { return len(s.chunks) * chunkBlocks * blockBytes }
