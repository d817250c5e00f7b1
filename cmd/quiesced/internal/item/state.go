package item

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"math"
)

// A state is
//
//	magic, the last CAS number
//	for each item: the length of its key, of its value, the key, the value
//	a length of noKey, and a CRC-32C of all before it
//
// with numbers of 8, 2, 4, 2 and 4 bytes.
const (
	stateMagic = "qscd0001"
	noKey      = math.MaxUint16

	// casMargin is what numbers skip after a Load: more than can be given while a
	// state is written.
	casMargin = 1 << 32
)

// ErrState is the error of a Load of something that Save has not written, or not to
// its end.
var ErrState = errors.New("not a state of quiesced, or a damaged one")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Save writes every item to w. Commands may run in between; an item that they store
// may be missing, one that they leave alone is not.
func (s *Store) Save(w io.Writer) error {
	sum := crc32.New(castagnoli)
	b := bufio.NewWriterSize(io.MultiWriter(w, sum), 1<<16)
	b.WriteString(stateMagic)
	var head []byte
	b.Write(binary.LittleEndian.AppendUint64(head, s.cas.Load()))
	for k, v := range s.cache.All() {
		head = binary.LittleEndian.AppendUint16(head[:0], uint16(len(k)))
		b.Write(binary.LittleEndian.AppendUint32(head, uint32(len(v))))
		b.WriteString(k)
		if _, err := b.Write(v); err != nil {
			return err
		}
	}
	b.Write(binary.LittleEndian.AppendUint16(head[:0], noKey))
	if err := b.Flush(); err != nil {
		return err
	}
	_, err := w.Write(binary.LittleEndian.AppendUint32(head[:0], sum.Sum32()))
	return err
}

// Load adds the items that Save wrote, and returns how many there are. It reads r
// twice: if what is there is not whole, it returns ErrState and has added nothing.
// Items that have expired since, and those that the cache has no room for, are left
// out.
func (s *Store) Load(r io.ReadSeeker, now int64) (loaded int, err error) {
	for _, add := range []bool{false, true} {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		n, last, err := s.read(r, now, add)
		if err != nil {
			return 0, err
		}
		if add {
			s.cas.Store(max(s.cas.Load(), last+casMargin))
		}
		loaded = n
	}
	return loaded, nil
}

// A stateReader reads the parts of a state. After an error it reads nothing.
type stateReader struct {
	r   *bufio.Reader
	sum hash.Hash32
	err error
	b   []byte
}

// next returns n bytes, valid until the following call.
func (r *stateReader) next(n int) []byte {
	if cap(r.b) < n {
		r.b = make([]byte, n)
	}
	b := r.b[:n]
	if r.err != nil {
		clear(b)
		return b
	}
	if _, r.err = io.ReadFull(r.r, b); errors.Is(r.err, io.EOF) || errors.Is(r.err, io.ErrUnexpectedEOF) {
		r.err = fmt.Errorf("%w: it ends early", ErrState)
	}
	r.sum.Write(b)
	return b
}

// read reads a state to its end, and adds its items or just counts those that are
// not expired.
func (s *Store) read(from io.Reader, now int64, add bool) (n int, last uint64, err error) {
	r := &stateReader{r: bufio.NewReaderSize(from, 1<<16), sum: crc32.New(castagnoli)}
	if string(r.next(len(stateMagic))) != stateMagic && r.err == nil {
		return 0, 0, fmt.Errorf("%w: it begins otherwise", ErrState)
	}
	last = binary.LittleEndian.Uint64(r.next(8))
	for r.err == nil {
		klen := int(binary.LittleEndian.Uint16(r.next(2)))
		if klen == noKey {
			want := r.sum.Sum32()
			if got := binary.LittleEndian.Uint32(r.next(4)); r.err == nil && got != want {
				r.err = fmt.Errorf("%w: its checksum is wrong", ErrState)
			}
			return n, last, r.err
		}
		vlen := int(binary.LittleEndian.Uint32(r.next(4)))
		if r.err == nil && (klen > maxStateKey || vlen < HeaderSize || vlen > maxStateValue) {
			r.err = fmt.Errorf("%w: an item of %d and %d bytes", ErrState, klen, vlen)
		}
		if r.err != nil {
			break
		}
		kv := r.next(klen + vlen)
		if r.err != nil || expired(decode(kv[klen:]).Expiry, now) {
			continue
		}
		if !add {
			n++
		} else if s.restore(kv[:klen], kv[klen:], now) == Stored {
			n++
		}
	}
	return 0, 0, r.err
}

// What an item of a state has at most, so that a damaged one does not ask for a lot of
// memory before its checksum is known to be wrong.
const (
	maxStateKey   = 250
	maxStateValue = 4 << 20
)

// restore stores an item, unless there is a newer one.
func (s *Store) restore(key, v []byte, now int64) Result {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	if _, ok := s.findLocked(key, now); ok {
		return NotStored
	}
	return s.setLocked(key, v, now)
}
