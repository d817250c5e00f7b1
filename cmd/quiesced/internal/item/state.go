package item

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// The head of a state file: magic, the last CAS number, a checksum of both. What
// follows is the cache's.
const (
	stateMagic = "qscd0001"
	stateHead  = len(stateMagic) + 8 + 4

	// casMargin is what numbers skip after a Load: more than can be given while a
	// state is written.
	casMargin = 1 << 32
)

// ErrState is the error of a Load of something that Save has not written.
var ErrState = errors.New("not a state of quiesced, or a damaged one")

// Save writes every item to w. Commands may run.
func (s *Store) Save(w io.Writer) error {
	head := binary.LittleEndian.AppendUint64([]byte(stateMagic), s.cas.Load())
	head = binary.LittleEndian.AppendUint32(head, crc32.ChecksumIEEE(head))
	if _, err := w.Write(head); err != nil {
		return err
	}
	return s.cache.Save(w)
}

// Load adds the items that Save wrote. If it returns an error, it has added none.
func (s *Store) Load(r io.Reader) error {
	head := make([]byte, stateHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return fmt.Errorf("%w: %w", ErrState, err)
	}
	body, sum := head[:stateHead-4], head[stateHead-4:]
	if string(body[:len(stateMagic)]) != stateMagic || binary.LittleEndian.Uint32(sum) != crc32.ChecksumIEEE(body) {
		return ErrState
	}
	if err := s.cache.Load(r); err != nil {
		return err
	}
	s.cas.Store(binary.LittleEndian.Uint64(body[len(stateMagic):]) + casMargin)
	return nil
}
