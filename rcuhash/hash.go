package rcuhash

import (
	"hash/maphash"
	"math/bits"
	"math/rand/v2"
	"reflect"
	"unsafe"
)

// keyKind is how keys are hashed, and compared.
type keyKind uint8

const (
	wordKey   keyKind = iota // an integer kind of 8 bytes: hashed inline
	wideKey                  // wordKey, in wide buckets
	intKey                   // an integer kind of 1, 2 or 4 bytes: inline as well
	stringKey                // the bytes are in the node
	otherKey                 // hash/maphash
)

// kindOf returns the kind of keys of type t.
func kindOf(t reflect.Type) keyKind {
	switch k := t.Kind(); {
	case k == reflect.String:
		return stringKey
	case k >= reflect.Int && k <= reflect.Uintptr && t.Size() == 8:
		return wordKey
	case k >= reflect.Int && k <= reflect.Uintptr:
		return intKey
	}
	return otherKey
}

// seeds are a map's own random numbers: keys that collide in one map don't in
// another, and can't be chosen without knowing them.
type seeds struct {
	other     maphash.Seed
	xor       uint64
	mul, mul2 uint64 // odd
}

func newSeeds() seeds {
	return seeds{maphash.MakeSeed(), rand.Uint64(), rand.Uint64() | 1, rand.Uint64() | 1}
}

// mix hashes an integer: the two halves of a product of 128 bits, twice. Once is
// not enough: both halves of multiples of one number are nearly linear sequences,
// and with one seed in some thousands they cancel each other in the low bits.
func (s *seeds) mix(v uint64) uint64 {
	hi, lo := bits.Mul64(v^s.xor, s.mul)
	hi, lo = bits.Mul64(hi^lo, s.mul2)
	return hi ^ lo
}

// integer returns a key of kind intKey as a number.
func integer[K comparable](k *K) uint64 {
	p := unsafe.Pointer(k)
	switch unsafe.Sizeof(*k) {
	case 8:
		return *(*uint64)(p)
	case 4:
		return uint64(*(*uint32)(p))
	case 2:
		return uint64(*(*uint16)(p))
	}
	return uint64(*(*uint8)(p))
}

// words returns keys of 8 bytes as numbers.
func words[K comparable](ks []K) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(ks))), len(ks))
}

// text returns a key of kind stringKey as a string.
func text[K comparable](k *K) string { return *(*string)(unsafe.Pointer(k)) }
