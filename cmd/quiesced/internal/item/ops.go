package item

import (
	"strconv"

	"quiesce/cmd/quiesced/internal/proto"
)

// A Change is a command that stores data.
type Change struct {
	Mode      proto.Mode
	Flags     uint32
	Expiry    uint32
	CAS       uint64 // to compare; 0: none
	NewCAS    uint64 // to give; 0: the next one
	Stale     bool   // with CAS: a number below the item's stores a stale value
	BinaryKey bool
	Vivify    bool // append and prepend store an item that is not there
}

func (s *Store) casFor(given uint64) uint64 {
	if given != 0 {
		return given
	}
	return s.nextCAS()
}

// Put stores v, of which the first [HeaderSize] bytes are free for the header and
// the rest is data. It returns the item's number if the result is Stored, and how
// long its data are.
func (s *Store) Put(key, v []byte, c *Change, buf *[]byte, now int64) (r Result, cas uint64, size int) {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	it := Item{Flags: c.Flags, Expiry: c.Expiry}
	if c.BinaryKey {
		it.State = BinaryKey
	}
	if c.Mode == proto.Set { // whatever there is
		return s.putLocked(key, v, it, c, now)
	}
	old, ok := s.findLocked(key, now)
	same := c.CAS == 0 || ok && c.CAS == old.CAS
	switch c.Mode {
	case proto.Add:
		if ok {
			return NotStored, 0, 0
		}
	case proto.Replace:
		if !ok {
			return NotStored, 0, 0
		}
	case proto.CAS:
		switch {
		case !ok:
			return NotFound, 0, 0
		case c.CAS != 0 && same:
		case c.CAS != 0 && c.Stale && c.CAS < old.CAS:
			it.Expiry = old.Expiry
			it.State |= Stale | old.State&Won
		default:
			return Exists, 0, 0
		}
	default: // append and prepend
		if ok && !same {
			return Exists, 0, 0
		}
		if ok {
			return s.joinLocked(key, v, c, buf, now)
		}
		if !c.Vivify {
			return NotStored, 0, 0
		}
	}
	return s.putLocked(key, v, it, c, now)
}

func (s *Store) putLocked(key, v []byte, it Item, c *Change, now int64) (Result, uint64, int) {
	it.CAS = s.casFor(c.NewCAS)
	it.encode(v, now)
	return s.setLocked(key, v, now), it.CAS, len(v) - HeaderSize
}

// joinLocked appends or prepends the data of v to an item's.
func (s *Store) joinLocked(key, v []byte, c *Change, buf *[]byte, now int64) (Result, uint64, int) {
	b, it, ok := s.copyLocked(key, buf, now)
	if !ok { // evicted since
		return NotStored, 0, 0
	}
	more := v[HeaderSize:]
	if !s.Fits(len(key), len(it.Data)+len(more), it.Flags) {
		return NotStored, 0, 0
	}
	b = append(b, more...)
	if c.Mode == proto.Prepend {
		data := b[HeaderSize:]
		copy(data[len(more):], data)
		copy(data, more)
	}
	*buf = b
	it.State &= BinaryKey
	return s.putLocked(key, b, it, c, now)
}

// Touch sets an item's expiry time, and reports whether there is one.
func (s *Store) Touch(key []byte, expiry uint32, buf *[]byte, now int64) bool {
	_, ok := s.GetAndTouch(key, expiry, buf, now)
	return ok
}

// GetAndTouch is Touch, and returns the item. Its data are in buf.
func (s *Store) GetAndTouch(key []byte, expiry uint32, buf *[]byte, now int64) (Item, bool) {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	b, it, ok := s.copyLocked(key, buf, now)
	if !ok {
		return it, false
	}
	it.Expiry = expiry
	it.encodeRest(b)
	markAccess(b, now)
	s.setLocked(key, b, now)
	return it, true
}

// A Delta is a command that counts.
type Delta struct {
	Decr    bool
	By      uint64
	CAS     uint64 // to compare; 0: none
	NewCAS  uint64 // to give; 0: the next one
	Vivify  bool   // store Initial if there is no item
	Initial uint64

	VivifyExpiry uint32
	BinaryKey    bool
	HasExpiry    bool
	Expiry       uint32
}

// Count adds to an item that is a number, or subtracts from it, and returns what it
// is then, with the expiry time that it had. A number that gets shorter is filled with
// spaces to its old length.
func (s *Store) Count(key []byte, d *Delta, buf *[]byte, now int64) (it Item, before uint32, n uint64, r Result) {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	b, it, ok := s.copyLocked(key, buf, now)
	if !ok {
		if !d.Vivify {
			return it, 0, 0, NotFound
		}
		it = Item{Expiry: d.VivifyExpiry}
		if d.HasExpiry {
			it.Expiry = d.Expiry
		}
		if d.BinaryKey {
			it.State = BinaryKey
		}
		it.CAS = s.casFor(d.NewCAS)
		b = append(b[:0], make([]byte, HeaderSize)...)
		b = strconv.AppendUint(b, d.Initial, 10)
		*buf = b
		it.encode(b, now)
		return it, 0, d.Initial, s.setLocked(key, b, now)
	}
	if len(it.Data) == 0 {
		return it, 0, 0, NotANumber
	}
	if d.CAS != 0 && d.CAS != it.CAS {
		return it, 0, 0, Exists
	}
	n, ok = proto.Uint64(it.Data)
	switch {
	case !ok:
		return it, 0, 0, NotANumber
	case !d.Decr:
		n += d.By
	case d.By > n:
		n = 0
	default:
		n -= d.By
	}
	before = it.Expiry
	length := len(b)
	b = strconv.AppendUint(b[:HeaderSize], n, 10)
	for len(b) < length {
		b = append(b, ' ')
	}
	*buf = b
	it.CAS = s.casFor(d.NewCAS)
	if d.HasExpiry {
		it.Expiry = d.Expiry
	}
	it.encodeRest(b)
	return it, before, n, s.setLocked(key, b, now)
}
