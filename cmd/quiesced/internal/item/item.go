package item

import (
	"encoding/binary"
	"math"
)

// The header of a value.
const (
	accessField = 0  // uint8: when it was last read, see accessMark; changed in place
	stateField  = 1  // uint8
	timeField   = 2  // uint32: seconds, when it was last read or written; changed in place
	flagsField  = 6  // uint32
	expiryField = 10 // uint32: seconds; 0: never
	casField    = 14 // uint64

	// HeaderSize is the length of what precedes an item's data.
	HeaderSize = 22
)

// State has what the meta commands know about an item.
type State uint8

// The bits of State.
const (
	Stale     State = 1 << iota // md I marked it
	Won                         // some client has been asked to renew it
	BinaryKey                   // its key came in base64
)

// An Item is a value in the cache, taken apart.
type Item struct {
	Flags  uint32
	CAS    uint64
	Expiry uint32 // Unix time; 0: never
	State  State
	Data   []byte // as long as the value is valid

	access uint8
}

// decode takes a value apart.
func decode(v []byte) Item {
	_ = v[HeaderSize-1]
	return Item{
		access: accessOf(v),
		State:  State(v[stateField]),
		Flags:  binary.LittleEndian.Uint32(v[flagsField:]),
		Expiry: binary.LittleEndian.Uint32(v[expiryField:]),
		CAS:    binary.LittleEndian.Uint64(v[casField:]),
		Data:   v[HeaderSize:],
	}
}

// encode writes the header of v, an item that nobody has read yet.
func (it *Item) encode(v []byte, now int64) {
	v[accessField] = 0
	v[stateField] = byte(it.State)
	binary.LittleEndian.PutUint32(v[timeField:], uint32(now))
	it.encodeRest(v)
}

// encodeRest writes the header of v but for when it was read.
func (it *Item) encodeRest(v []byte) {
	v[stateField] = byte(it.State)
	binary.LittleEndian.PutUint32(v[flagsField:], it.Flags)
	binary.LittleEndian.PutUint32(v[expiryField:], it.Expiry)
	binary.LittleEndian.PutUint64(v[casField:], it.CAS)
}

// accessOf reads a byte that may be changing: it is what it was or what it will be.
// The race detector would call that a race, and so it is; see the package's comment.
//
//go:norace
func accessOf(v []byte) uint8 { return v[accessField] }

// accessMark is what accessField holds after a read at time now: never 0, and
// another one each minute.
func accessMark(now int64) uint8 { return uint8(1 + now/60%255) }

// maxRelative is the longest time that counts from now: 30 days.
const maxRelative = 60 * 60 * 24 * 30

// past is the expiry time of an item that is expired from the start.
const past = 1

// Expiry returns the Unix time at which an item expires for which a client sent t:
// 0 is never, up to 30 days are seconds from now, more is a Unix time, and what is
// negative is in the past.
func Expiry(t, now int64) uint32 {
	switch {
	case t == 0:
		return 0
	case t < 0:
		return past
	case t <= maxRelative:
		t += now
	}
	return uint32(min(t, math.MaxUint32))
}

// expired reports whether an item with an expiry time is gone.
func expired(expiry uint32, now int64) bool { return expiry != 0 && int64(expiry) <= now }

// TTL returns how many seconds an item has left, and whether it has an end.
func (it *Item) TTL(now int64) (int64, bool) {
	return max(int64(it.Expiry)-now, 0), it.Expiry != 0
}

// Size is what an item counts for against the largest item that is allowed. It is
// what memcached's item takes, so that the same data fits.
func Size(key, data int, flags uint32) int {
	n := 56 + key + 1 + data + 2
	if flags != 0 {
		n += 4
	}
	return n
}
