package main

import (
	"encoding/hex"
	"strings"
)

// Keys are numbered. A key's number determines the key, and its value, in this
// program and in c/maps.c alike.

// key is what the maps are measured with.
type key interface{ uint64 | string }

// mix is a bijection without a pattern (splitmix64's last step).
func mix(i uint64) uint64 {
	i *= 0x9e3779b97f4a7c15
	i = (i ^ i>>30) * 0xbf58476d1ce4e5b9
	i = (i ^ i>>27) * 0x94d049bb133111eb
	return i ^ i>>31
}

// valueOf is never 0.
func valueOf(i int) uint64 { return uint64(i) + 1 }

const (
	stringPrefix = "/api/session/" // and 16 hexadecimal digits: 29 bytes
	textPrefix   = "user:"         // 21 bytes, of the keys with 100-byte values
	textValue    = 100
)

// appendKey appends a string key.
func appendKey(b []byte, prefix string, i int) []byte {
	var n [8]byte
	for j, k := 0, mix(uint64(i)); j < 8; j++ {
		n[j] = byte(k >> (56 - 8*j))
	}
	return hex.AppendEncode(append(b, prefix...), n[:])
}

// keyOf returns a key by its number. Every string has memory of its own.
func keyOf[K key](i int) (k K) {
	switch p := any(&k).(type) {
	case *uint64:
		*p = mix(uint64(i))
	case *string:
		*p = string(appendKey(make([]byte, 0, 32), stringPrefix, i))
	}
	return k
}

// probes are keys, and the values that belong to them, in the order in which
// they are looked up.
type probes[K key] struct {
	keys []K
	vals []uint64
}

// probesOf returns the keys with these numbers. String keys lie one after the
// other, so that reading them costs every map the same, and little.
func probesOf[K key](numbers []uint32, offset int) probes[K] {
	p := probes[K]{make([]K, len(numbers)), make([]uint64, len(numbers))}
	for j, n := range numbers {
		p.vals[j] = valueOf(offset + int(n))
	}
	switch keys := any(p.keys).(type) {
	case []uint64:
		for j, n := range numbers {
			keys[j] = keyOf[uint64](offset + int(n))
		}
	case []string:
		const size = len(stringPrefix) + 16
		var all strings.Builder
		all.Grow(size * len(numbers))
		key := make([]byte, 0, size)
		for _, n := range numbers {
			all.Write(appendKey(key, stringPrefix, offset+int(n)))
		}
		for j := range keys {
			keys[j] = all.String()[j*size : (j+1)*size]
		}
	}
	return p
}

func (p probes[K]) slice(from, to int) probes[K] { return probes[K]{p.keys[from:to], p.vals[from:to]} }

// shuffled returns the first most of the numbers below n in an order that is
// the same in every run.
func shuffled(n, most int) []uint32 {
	v := make([]uint32, n)
	for i := range v {
		v[i] = uint32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := mix(uint64(i)) >> 32 * uint64(i+1) >> 32
		v[i], v[j] = v[j], v[i]
	}
	return v[:min(n, most)]
}
