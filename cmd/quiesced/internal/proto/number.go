package proto

import "math"

// isSpace is C's isspace.
func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// number reads a decimal number as strtoull does, without its wrapping of
// negative numbers: white space, a sign, digits, and then the end or white space.
func number(b []byte) (v uint64, negative, ok bool) {
	i := 0
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	if i < len(b) && (b[i] == '-' || b[i] == '+') {
		negative = b[i] == '-'
		i++
	}
	first := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if v > (math.MaxUint64-d)/10 {
			return 0, false, false
		}
		v = v*10 + d
	}
	return v, negative, i > first && (i == len(b) || isSpace(b[i]))
}

// Uint64 reads an unsigned number. A value that incr finds is read by it, too.
func Uint64(b []byte) (uint64, bool) {
	v, negative, ok := number(b)
	return v, ok && (!negative || v == 0)
}

func uint32Of(b []byte) (uint32, bool) {
	v, ok := Uint64(b)
	return uint32(v), ok && v <= math.MaxUint32
}

func int64Of(b []byte) (int64, bool) {
	v, negative, ok := number(b)
	if v > math.MaxInt64 {
		return 0, false
	}
	if negative {
		return -int64(v), ok
	}
	return int64(v), ok
}
