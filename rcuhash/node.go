package rcuhash

import (
	"fmt"
	"reflect"
	"unsafe"

	"quiesce/internal/offheap"
)

// shape says where things are in a node. It is immutable.
//
//	Map, fixed keys      value, key
//	Map, string keys     length of the key (4 bytes), value, key
//	Bytes, fixed keys    length of the value (4 bytes), key, value
//	Bytes, string keys   both lengths (4 or 8 bytes), key, value
type shape struct {
	kind   keyKind
	small  bool    // of Map: a value has at most 8 bytes
	lens   bool    // both lengths come first, as lengths has them
	vlen   bool    // the length of the value comes first
	keyAt  uintptr // without lens
	valAt  uintptr // of Map, or of Bytes with fixed keys
	keyLen uintptr // of a fixed key
}

// Both lengths of a node of Bytes with string keys are in one word: the key's in
// the low byte, the value's in the other three. A key of shortKey bytes or more
// has its length in a word that follows, and shortKey in the low byte.
const (
	shortKey = 255
	maxValue = 1<<24 - 1
)

// lengths returns both lengths, and where the key begins.
func lengths(n unsafe.Pointer) (key, val, at uintptr) {
	w := *(*uint32)(n)
	if key, val, at = uintptr(w&0xff), uintptr(w>>8), 4; key == shortKey {
		key, at = uintptr(*(*uint32)(unsafe.Add(n, 4))), 8
	}
	return key, val, at
}

// setLengths writes both lengths, and returns where the key begins.
func setLengths(n unsafe.Pointer, key, val int) (at uintptr) {
	if key < shortKey {
		*(*uint32)(n) = uint32(key) | uint32(val)<<8
		return 4
	}
	*(*uint32)(n) = shortKey | uint32(val)<<8
	*(*uint32)(unsafe.Add(n, 4)) = uint32(key)
	return 8
}

// key returns the key of a node with a string key, in place.
func (s *shape) key(n unsafe.Pointer) string {
	if s.lens {
		l, _, at := lengths(n)
		return unsafe.String((*byte)(unsafe.Add(n, at)), l)
	}
	return unsafe.String((*byte)(unsafe.Add(n, s.keyAt)), *(*uint32)(n))
}

// value returns the value of a node of Bytes, in place.
func (s *shape) value(n unsafe.Pointer) []byte {
	if s.lens {
		k, v, at := lengths(n)
		return unsafe.Slice((*byte)(unsafe.Add(n, at+k)), v)
	}
	return unsafe.Slice((*byte)(unsafe.Add(n, s.valAt)), *(*uint32)(n))
}

// size returns the size of a node in bytes.
func (s *shape) size(n unsafe.Pointer) int {
	switch {
	case s.lens:
		k, v, at := lengths(n)
		return int(at + k + v)
	case s.vlen:
		return int(s.valAt + uintptr(*(*uint32)(n)))
	case s.kind == stringKey:
		return int(s.keyAt + uintptr(*(*uint32)(n)))
	}
	return s.fixed()
}

// fixed returns the size of a node of a Map with fixed keys.
func (s *shape) fixed() int { return max(int(s.keyAt+s.keyLen), 1) }

// sizeFor returns the size of a node for a key and a value of these lengths.
// They count where they vary.
func (s *shape) sizeFor(key, val int) int {
	switch {
	case s.lens && key < shortKey:
		return 4 + key + val
	case s.lens:
		return 8 + key + val
	case s.vlen:
		return int(s.valAt) + val
	case s.kind == stringKey:
		return int(s.keyAt) + key
	}
	return s.fixed()
}

func alignUp(n, to uintptr) uintptr { return (n + to - 1) &^ (to - 1) }

// checkKey returns an error if keys of type t can't be in a node.
func checkKey(t reflect.Type) error {
	if t.Kind() == reflect.String {
		return nil
	}
	if err := offheap.Check(t); err != nil {
		return fmt.Errorf("rcuhash: key type: %w", err)
	}
	return nil
}
