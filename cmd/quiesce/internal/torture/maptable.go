package torture

import (
	"encoding/binary"
	"fmt"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

// mapTable is a map whose keys are numbers, and whose values are words of 8
// bytes that stampValue made.
type mapTable interface {
	get(g rcu.Guard, k uint32) []byte // nil: not there
	batch(g rcu.Guard, ks []uint32, vs [][]byte)
	put(k uint32, v []byte, f gfp.Flags) bool
	putIfAbsent(k uint32, v []byte) (stored, ok bool)
	swap(g rcu.Guard, k uint32, v []byte) (old []byte, ok bool)
	compute(k uint32, fn func(old []byte) ([]byte, rcuhash.Op)) bool
	take(g rcu.Guard, k uint32) []byte // LoadAndDelete
	all(g rcu.Guard, fn func(k uint32, v []byte) bool)

	words(k uint32) int // of the value of a key
	walk(fn func(k uint32, v []byte) bool)
	remove(k uint32) bool
	Len() int
	Clear()
	Close() error
}

// stampValue makes a value of a key with that stamp.
func stampValue(v []byte, k uint32, stamp uint64) {
	id := uint64(k)<<40 | stamp
	binary.LittleEndian.PutUint64(v, id)
	for i := 8; i < len(v); i += 8 {
		binary.LittleEndian.PutUint64(v[i:], stampWord(id, uint64(i)))
	}
}

// stampOf returns the stamp of a value of the key, and whether the value is
// whole.
//
// Context: any.
func stampOf(t mapTable, k uint32, v []byte) (stamp uint64, whole bool) {
	if len(v) != 8*t.words(k) {
		return 0, false
	}
	id := binary.LittleEndian.Uint64(v)
	for i := 8; i < len(v); i += 8 {
		if binary.LittleEndian.Uint64(v[i:]) != stampWord(id, uint64(i)) {
			return id, false
		}
	}
	return id & (1<<40 - 1), id>>40 == uint64(k)
}

const (
	numberWords   = 4
	textWordsMost = 16
)

// numbers is a Map of integer keys.
type numbers struct {
	*rcuhash.Map[uint64, [numberWords * 8]byte]
}

func newNumbers(a *page.Allocator) (*numbers, error) {
	m, err := rcuhash.New[uint64, [numberWords * 8]byte](0, rcuhash.WithAllocator(a))
	return &numbers{m}, err
}

func (t *numbers) words(uint32) int { return numberWords }

func bytesOf(v *[numberWords * 8]byte) []byte {
	if v == nil {
		return nil
	}
	return v[:]
}

func (t *numbers) get(g rcu.Guard, k uint32) []byte { return bytesOf(t.Get(g, uint64(k))) }

func (t *numbers) batch(g rcu.Guard, ks []uint32, vs [][]byte) {
	var keys [batchKeys]uint64
	var found [batchKeys]*[numberWords * 8]byte
	for i, k := range ks {
		keys[i] = uint64(k)
	}
	t.GetBatch(g, keys[:len(ks)], found[:])
	for i := range ks {
		vs[i] = bytesOf(found[i])
	}
}

func (t *numbers) put(k uint32, v []byte, f gfp.Flags) bool {
	return t.PutFlags(uint64(k), [numberWords * 8]byte(v), f)
}

func (t *numbers) putIfAbsent(k uint32, v []byte) (stored, ok bool) {
	return t.PutIfAbsent(uint64(k), [numberWords * 8]byte(v))
}

func (t *numbers) swap(g rcu.Guard, k uint32, v []byte) (old []byte, ok bool) {
	p, ok := t.Swap(g, uint64(k), [numberWords * 8]byte(v))
	return bytesOf(p), ok
}

func (t *numbers) compute(k uint32, fn func(old []byte) ([]byte, rcuhash.Op)) bool {
	return t.Compute(uint64(k), func(old *[numberWords * 8]byte) (v [numberWords * 8]byte, op rcuhash.Op) {
		b, op := fn(bytesOf(old))
		copy(v[:], b)
		return v, op
	})
}

func (t *numbers) remove(k uint32) bool { return t.Delete(uint64(k)) }

func (t *numbers) take(g rcu.Guard, k uint32) []byte { return bytesOf(t.LoadAndDelete(g, uint64(k))) }

func (t *numbers) all(g rcu.Guard, fn func(k uint32, v []byte) bool) {
	for k, v := range t.All(g) {
		if !fn(uint32(k), v[:]) {
			return
		}
	}
}

func (t *numbers) walk(fn func(k uint32, v []byte) bool) {
	t.Range(func(k uint64, v *[numberWords * 8]byte) bool { return fn(uint32(k), v[:]) })
}

// texts is a Bytes of string keys. Its values differ in length.
type texts struct {
	*rcuhash.Bytes[string]
	names []string // made beforehand: fmt may block, and the caller may be pinned
}

func newTexts(a *page.Allocator, keys int) (*texts, error) {
	m, err := rcuhash.NewBytes[string](0, rcuhash.WithAllocator(a))
	if err != nil {
		return nil, err
	}
	t := &texts{m, make([]string, keys)}
	for i := range t.names {
		t.names[i] = fmt.Sprintf("%08d/%-*d", i, i%40, i)
		if i < 40*textWordsMost { // all pairs of lengths, or enough of them
			if err := m.Prepare(len(t.names[i]), 8*t.words(uint32(i))); err != nil {
				return nil, err
			}
		}
	}
	return t, nil
}

// keyOf reads the number back.
func keyOf(name string) (k uint32) {
	for i := range 8 {
		k = k*10 + uint32(name[i]-'0')
	}
	return k
}

func (t *texts) words(k uint32) int { return 2 + int(k)%(textWordsMost-2) }

func (t *texts) get(g rcu.Guard, k uint32) (v []byte) {
	name := t.names[k]
	if k&1 == 0 {
		v, _ = t.Get(g, name)
	} else {
		v, _ = t.GetKey(g, unsafe.Slice(unsafe.StringData(name), len(name)))
	}
	return v
}

func (t *texts) batch(g rcu.Guard, ks []uint32, vs [][]byte) {
	var keys [batchKeys]string
	for i, k := range ks {
		keys[i] = t.names[k]
	}
	t.GetBatch(g, keys[:len(ks)], vs)
}

func (t *texts) put(k uint32, v []byte, f gfp.Flags) bool { return t.PutFlags(t.names[k], v, f) }

func (t *texts) putIfAbsent(k uint32, v []byte) (stored, ok bool) {
	return t.PutIfAbsent(t.names[k], v)
}

func (t *texts) swap(g rcu.Guard, k uint32, v []byte) (old []byte, ok bool) {
	return t.Swap(g, t.names[k], v)
}

func (t *texts) compute(k uint32, fn func(old []byte) ([]byte, rcuhash.Op)) bool {
	return t.Compute(t.names[k], fn)
}

func (t *texts) remove(k uint32) bool { return t.Delete(t.names[k]) }

func (t *texts) take(g rcu.Guard, k uint32) []byte {
	v, _ := t.LoadAndDelete(g, t.names[k])
	return v
}

func (t *texts) all(g rcu.Guard, fn func(k uint32, v []byte) bool) {
	for name, v := range t.All(g) {
		if !fn(keyOf(name), v) {
			return
		}
	}
}

func (t *texts) walk(fn func(k uint32, v []byte) bool) {
	t.Range(func(name string, v []byte) bool { return fn(keyOf(name), v) })
}
