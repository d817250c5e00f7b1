package proto

import (
	"encoding/base64"
	"strconv"
)

// AppendLine appends an answer and a line end.
func AppendLine(dst []byte, text string) []byte {
	dst = append(dst, text...)
	return append(dst, "\r\n"...)
}

// ValueHead is how much the line before a value can take.
const ValueHead = len("VALUE ") + MaxKey + len(" 4294967295 2147483647 18446744073709551615\r\n")

// AppendValueHead appends the line before a value of n bytes.
func AppendValueHead(dst, key []byte, flags uint32, n int, cas uint64, withCAS bool) []byte {
	dst = append(dst, "VALUE "...)
	dst = append(dst, key...)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(flags), 10)
	dst = append(dst, ' ')
	dst = strconv.AppendUint(dst, uint64(n), 10)
	if withCAS {
		dst = append(dst, ' ')
		dst = strconv.AppendUint(dst, cas, 10)
	}
	return append(dst, "\r\n"...)
}

// AppendStat appends a line of stats.
func AppendStat(dst []byte, name, value string) []byte {
	dst = append(dst, "STAT "...)
	dst = append(dst, name...)
	dst = append(dst, ' ')
	return AppendLine(append(dst, value...), "")
}

// MetaLine is how much a meta command's line can take.
const MetaLine = 1024

// AppendMetaNumber appends a flag with a number.
func AppendMetaNumber(dst []byte, flag byte, n uint64) []byte {
	return strconv.AppendUint(append(dst, ' ', flag), n, 10)
}

// AppendMetaKey appends a k flag, and a b flag to a key in base64.
func AppendMetaKey(dst, key []byte, binary bool) []byte {
	dst = append(dst, " k"...)
	if !binary {
		return append(dst, key...)
	}
	dst = base64.StdEncoding.AppendEncode(dst, key)
	return append(dst, " b"...)
}

// AppendEcho appends what a meta command's reply repeats, whatever became of it:
// O and k.
func (r *Request) AppendEcho(dst []byte) []byte {
	for _, w := range r.Meta.Flags {
		switch w[0] {
		case 'O':
			dst = append(append(dst, ' '), w...)
		case 'k':
			dst = AppendMetaKey(dst, r.Key, r.Meta.BinaryKey)
		}
	}
	return dst
}
