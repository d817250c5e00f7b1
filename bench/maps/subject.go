package main

import (
	"fmt"
	"slices"
)

// table is a map that is measured. Every method has its loop to itself, so that
// what inlines in a user's program inlines here.
type table[K key] interface {
	ways() []way[K]                // to look up; the first is the ordinary one
	put(p probes[K]) (refused int) // inserts, or replaces
	del(ks []K)                    // removes
	close() error
}

// way is one of the ways to look keys up.
type way[K key] struct {
	name string
	hit  func(p probes[K]) (wrong int) // of keys that are there
	miss func(ks []K) (wrong int)      // of keys that aren't
}

// texts is a map from strings to values of any length.
type texts interface {
	put(k string, v []byte) bool
	get(k string, check func(v []byte) bool) bool
	close() error
}

// A peer's ordinary way to look up, and those of maps with read sections.
const (
	wayEach   = "each"   // a section for each look-up, if the map has sections
	wayOne    = "one"    // one section around 1000 look-ups
	wayBatch  = "batch"  // one section, 16 keys at a time
	wayReader = "reader" // an rcu.Reader's section for each look-up
)

// peer is a map, and how to make it.
type peer struct {
	id        string
	names     []named // a row for each way
	readOnly  bool    // no lock at all
	inC       bool
	perEntry  [2]int // bytes of an entry while the map is made, with uint64 and with string keys: estimates, on the safe side
	textBytes int    // the same of a 21-byte key with a 100-byte value
	uints     func(hint int) (table[uint64], error)
	strings   func(hint int) (table[string], error)
	texts     func(hint int) (texts, error)
	fixed     bool   // the map does not grow: it is made for as many keys as it will have
	settle    func() // gives memory back
}

// named is a row's name in the table, for a way.
type named struct{ way, name string }

// subjects are the peers, in the order of the rows. The first one's first row
// has ratio 1.00.
var subjects = []peer{
	quiesceMap,
	quiesceHuge,
	goPeer("xsync", "xsync.Map v4", [2]int{120, 180}, 400, newXsync[uint64], newXsync[string], newXsyncTexts),
	goPeer("rwmutex", "map + RWMutex", [2]int{120, 180}, 400, newLocked[uint64], newLocked[string], newLockedTexts),
	goPeer("sharded", "256 maps + RWMutexes", [2]int{120, 180}, 400, newSharded[uint64], newSharded[string], newShardedTexts),
	readOnly(goPeer("bare", "bare map, no lock", [2]int{120, 180}, 400, newBare[uint64], newBare[string], newBareTexts)),
	goPeer("syncmap", "sync.Map", [2]int{260, 320}, 500, newSyncMap[uint64], newSyncMap[string], newSyncMapTexts),
	goPeer("haxmap", "haxmap", [2]int{180, 240}, 450, newHax[uint64], newHax[string], newHaxTexts),
	{id: "rculfhash", inC: true, names: []named{{wayEach, "C rculfhash"}, {wayOne, "C rculfhash, 1 section"}},
		perEntry: [2]int{120, 150}, textBytes: 240},
}

func goPeer(id, name string, perEntry [2]int, textBytes int, uints func(int) (table[uint64], error),
	strs func(int) (table[string], error), t func(int) (texts, error)) peer {
	return peer{id: id, names: []named{{wayEach, name}}, perEntry: perEntry, textBytes: textBytes, uints: uints, strings: strs, texts: t}
}

func readOnly(p peer) peer { p.readOnly = true; return p }

func subjectByID(id string) (*peer, error) {
	i := slices.IndexFunc(subjects, func(p peer) bool { return p.id == id })
	if i < 0 {
		return nil, fmt.Errorf("no such map: %q", id)
	}
	return &subjects[i], nil
}

// newTable makes a peer's map for the key type.
func newTable[K key](p *peer, hint int) (table[K], error) {
	var k K
	if _, str := any(k).(string); str {
		t, err := p.strings(hint)
		if err != nil {
			return nil, err
		}
		return any(t).(table[K]), nil
	}
	t, err := p.uints(hint)
	if err != nil {
		return nil, err
	}
	return any(t).(table[K]), nil
}
