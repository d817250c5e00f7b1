package item

import "encoding/binary"

// A MetaGet is what mg does to an item.
type MetaGet struct {
	NoUpdate      bool // the read is not noted
	ReadOnly      bool // nothing is changed, and nobody wins
	Vivify        bool // store an empty item if there is none
	VivifyExpiry  uint32
	HasExpiry     bool
	Expiry        uint32
	Recache       bool // win if the item expires before RecacheExpiry
	RecacheExpiry uint32
	BinaryKey     bool
	NewCAS        uint64
}

// Meta is what mg returns.
type Meta struct {
	Item
	Before   uint32 // the expiry time before it was changed
	Won      bool   // this client is to renew the item
	WasWon   bool   // another client is
	Fetched  bool   // the item had been read before
	LastRead int64  // seconds ago
}

// MetaGet returns an item, with its data in buf, and changes it as m says.
func (s *Store) MetaGet(key []byte, m *MetaGet, buf *[]byte, now int64) (r Meta, ok bool) {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	b, it, ok := s.copyLocked(key, buf, now)
	changed := false
	switch {
	case ok:
	case !m.Vivify:
		return r, false
	default:
		it = Item{Expiry: m.VivifyExpiry, CAS: s.casFor(m.NewCAS)}
		if m.BinaryKey {
			it.State = BinaryKey
		}
		b = append(b[:0], make([]byte, HeaderSize)...)
		*buf = b
		it.encode(b, now)
		r.Won, changed = true, true
	}
	if ok {
		r.Before = it.Expiry
	}
	if ok && m.Recache && it.State&Won == 0 && it.Expiry != 0 && it.Expiry < m.RecacheExpiry {
		r.Won = true
	}
	if m.HasExpiry {
		it.Expiry, changed = m.Expiry, true
	}
	r.WasWon = it.State&Won != 0
	if it.State&Stale != 0 && !r.WasWon && !m.ReadOnly {
		r.Won = true
	}
	r.Item = it
	if r.Won {
		it.State |= Won
		changed = true
	}
	r.Fetched = b[accessField] != 0
	r.LastRead = max(now-int64(binary.LittleEndian.Uint32(b[timeField:])), 0)
	if changed {
		it.encodeRest(b)
		if !m.NoUpdate {
			markAccess(b, now)
		}
		s.setLocked(key, b, now)
	} else if !m.NoUpdate {
		s.markLocked(key, now)
	}
	return r, true
}

// A MetaDelete is what md does.
type MetaDelete struct {
	HasCAS    bool
	CAS       uint64
	NewCAS    uint64
	Stale     bool // mark the item instead
	DropValue bool // keep the item without its data and flags
	HasExpiry bool // with Stale
	Expiry    uint32
}

// MetaDelete removes an item or marks it as stale.
func (s *Store) MetaDelete(key []byte, m *MetaDelete, buf *[]byte, now int64) Result {
	mu := s.stripe(key)
	mu.Lock()
	defer mu.Unlock()
	if !m.Stale && !m.DropValue {
		it, ok := s.findLocked(key, now)
		switch {
		case !ok:
			return NotFound
		case m.HasCAS && m.CAS != it.CAS:
			return Exists
		}
		s.cache.Delete(keyString(key))
		return Stored
	}
	b, it, ok := s.copyLocked(key, buf, now)
	switch {
	case !ok:
		return NotFound
	case m.HasCAS && m.CAS != it.CAS:
		return Exists
	}
	if m.DropValue {
		b = b[:HeaderSize]
		it.Flags = 0
	}
	if m.Stale {
		it.State = it.State&^Won | Stale
		if m.HasExpiry {
			it.Expiry = m.Expiry
		}
	}
	it.CAS = s.casFor(m.NewCAS)
	it.encodeRest(b)
	return s.setLocked(key, b, now)
}
