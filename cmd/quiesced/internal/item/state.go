package item

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A state is a magic, the last CAS number (8 bytes), a CRC-32C of both (4), and what
// the cache's Save writes.
const (
	stateMagic = "qscd0001"
	stateHead  = len(stateMagic) + 8 + 4

	// casMargin is what numbers skip after a Load: more than can be given while a
	// state is written.
	casMargin = 1 << 32
)

// ErrState is the error of a Load of something that Save has not written.
var ErrState = errors.New("not a state of quiesced, or a damaged one")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes every item to w. Commands may run in between; an item that they store
// may be missing, one that they leave alone is not.
func (s *Store) Save(w io.Writer) error {
	head := binary.LittleEndian.AppendUint64([]byte(stateMagic), s.cas.Load())
	head = binary.LittleEndian.AppendUint32(head, crc32.Checksum(head, castagnoli))
	if _, err := w.Write(head); err != nil {
		return err
	}
	return s.cache.Save(w)
}

// Load adds the items that Save wrote, in the place of those with the same keys. If
// what is there is not whole, it returns an error and has added nothing. Items that have
// expired since, and those that the cache has no room for, are left out.
func (s *Store) Load(r io.ReadSeeker) error {
	head := make([]byte, stateHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	body, sum := head[:stateHead-4], head[stateHead-4:]
	if string(body[:len(stateMagic)]) != stateMagic || binary.LittleEndian.Uint32(sum) != crc32.Checksum(body, castagnoli) {
		return ErrState
	}
	if err := s.cache.Load(r); err != nil {
		return err
	}
	last := binary.LittleEndian.Uint64(body[len(stateMagic):])
	s.cas.Store(max(s.cas.Load(), last+casMargin))
	return nil
}
