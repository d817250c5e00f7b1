package inspect

import (
	"compress/gzip"
	"encoding/binary"
	"io"
)

// message is a protocol buffer that is being written: what of the encoding pprof's
// profile.proto needs.
type message []byte

// The wire types.
const (
	wireVarint = 0
	wireBytes  = 2
)

func (m *message) key(field, wire int) {
	*m = binary.AppendUvarint(*m, uint64(field)<<3|uint64(wire))
}

// uint appends a field, unless it is 0, which is what a missing field means.
func (m *message) uint(field int, n uint64) {
	if n != 0 {
		m.key(field, wireVarint)
		*m = binary.AppendUvarint(*m, n)
	}
}

// int appends a field of type int64, where a negative number has 10 bytes.
func (m *message) int(field int, n int64) { m.uint(field, uint64(n)) }

// bytes appends a string or a message, even if it is empty.
func (m *message) bytes(field int, b []byte) {
	m.key(field, wireBytes)
	*m = binary.AppendUvarint(*m, uint64(len(b)))
	*m = append(*m, b...)
}

func (m *message) message(field int, of message) { m.bytes(field, of) }

// packed appends a repeated field.
func (m *message) packed(field int, list []uint64) {
	var all message
	for _, n := range list {
		all = binary.AppendUvarint(all, n)
	}
	m.bytes(field, all)
}

func compress(w io.Writer, m message) error {
	z := gzip.NewWriter(w)
	if _, err := z.Write(m); err != nil {
		return err
	}
	return z.Close()
}
