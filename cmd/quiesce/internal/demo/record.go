package demo

import (
	"hash/crc32"
	"hash/fnv"
	"sync/atomic"
)

// record is the map's value: a file's facts. It lives outside the Go heap.
type record struct {
	tag   uint64 // the path's, so that another path's record is noticed
	gen   uint64 // changes with every replacement of the path's record
	size  int64
	mtime int64  // ns since 1970
	mode  uint32 // fs.FileMode
	sum   uint32 // of the file's content: CRC-32C
	check uint64 // of all of the above
	_     uint64 // a node is larger than bucketBytes, whatever its path
}

const contentChecksum = "CRC-32C"

// castagnoli is the CRC that processors have an instruction for.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// digest is what check must be. Each step is a bijection of the word that goes
// in and of the state, so a change of any one field changes the result.
func (r *record) digest() uint64 {
	h := uint64(0x51_7cc1b727220a95)
	for _, v := range [...]uint64{r.tag, r.gen, uint64(r.size), uint64(r.mtime), uint64(r.mode)<<32 | uint64(r.sum)} {
		h = (h ^ v) * 0x9e3779b97f4a7c15
		h ^= h >> 29
	}
	return h
}

// seal makes the record valid.
func (r *record) seal() { r.check = r.digest() }

// intact reports whether the record is whole and belongs to the path.
func (r *record) intact(tag uint64) bool { return r.check == r.digest() && r.tag == tag }

// entry is a path.
type entry struct {
	path string
	tag  uint64
	word atomic.Uint64 // generation and phase, see doc.go
}

func tagOf(path string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(path))
	return h.Sum64()
}

// Phases of a path.
const (
	present = iota
	deleting
	absent
	inserting
)

func word(gen uint64, phase uint64) uint64 { return gen<<2 | phase }
func genOf(w uint64) uint64                { return w >> 2 }
func phaseOf(w uint64) uint64              { return w & 3 }

// verdict says what is wrong with a lookup of e, between whose two loads of
// the entry's word the map returned r, or "" if nothing is. See doc.go.
func verdict(e *entry, before uint64, r *record, after uint64) string {
	if r == nil {
		if before == after && phaseOf(before) == present {
			return "a path that was there was not found"
		}
		return ""
	}
	switch {
	case !r.intact(e.tag):
		return "a record does not fit its check word or its path"
	case before == after && phaseOf(before) == absent:
		return "a path that was not there was found"
	case phaseOf(before) == present && r.gen < genOf(before):
		return "an old record was found after its replacement"
	case r.gen > genOf(after)+1:
		return "a record of a generation that is yet to come"
	}
	return ""
}
