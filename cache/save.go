package cache

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"
)

// The format of Save. Numbers are little-endian.
//
//	magic, the names of the types of key and value (2 bytes of length, bytes)
//	for each entry
//	    1        a byte
//	    expires  8 bytes: Unix time in ns; 0: never
//	    lengths  4 bytes each: of the key, of the value
//	    key, value
//	0, the number of entries (8 bytes), CRC-32C of all before it (4 bytes)
//
// Keys and values of fixed size are as they are in memory.
const saveMagic = "quiesce cache 1\n"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt is the error of Load for what is no file of Save, or not a whole one, or
// of a cache with other types.
var ErrCorrupt = errors.New("cache: not a file that Save has written for these types")

// typeNames are what Load compares.
func typeNames[K comparable, V any]() string {
	var b []byte
	for _, t := range []reflect.Type{reflect.TypeFor[K](), reflect.TypeFor[V]()} {
		name := fmt.Sprintf("%s, %d bytes", t, t.Size())
		b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
	}
	return string(b)
}

// memory returns the bytes of a fixed value, or of a string.
func memory[T any](p *T) []byte {
	if s, ok := any(p).(*string); ok {
		return unsafe.Slice(unsafe.StringData(*s), len(*s))
	}
	if reflect.TypeFor[T]().Kind() == reflect.String {
		s := *(*string)(unsafe.Pointer(p))
		return unsafe.Slice(unsafe.StringData(s), len(s))
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

// saver writes a file.
type saver struct {
	w   io.Writer
	sum hash.Hash32
	n   uint64
	err error
	buf []byte
}

func newSaver(w io.Writer, types string) *saver {
	s := &saver{w: w, sum: crc32.New(castagnoli)}
	s.write([]byte(saveMagic), []byte(types))
	return s
}

func (s *saver) write(parts ...[]byte) {
	for _, p := range parts {
		if s.err == nil {
			s.sum.Write(p)
			_, s.err = s.w.Write(p)
		}
	}
}

func (s *saver) entry(expires int64, key, value []byte) {
	b := append(s.buf[:0], 1)
	b = binary.LittleEndian.AppendUint64(b, uint64(expires))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(value)))
	s.buf = b
	s.write(b, key, value)
	s.n++
}

func (s *saver) end() error {
	s.write(binary.LittleEndian.AppendUint64([]byte{0}, s.n))
	if s.err == nil {
		_, s.err = s.w.Write(binary.LittleEndian.AppendUint32(nil, s.sum.Sum32()))
	}
	return s.err
}

// wall returns a deadline as Unix time in ns.
func (c *core) wall(deadline int64) int64 {
	if deadline == 0 || c.clockFn != nil {
		return deadline
	}
	return max(time.Now().UnixNano()+deadline-c.clock(), 1)
}

// left returns the time to live that is left of such a deadline; 0 means for ever,
// and less that it has passed.
func (c *core) left(expires int64) int64 {
	if expires == 0 {
		return 0
	}
	now := time.Now().UnixNano()
	if c.clockFn != nil {
		now = c.clock()
	}
	if d := expires - now; d != 0 {
		return d
	}
	return -1
}

// scan reads a file and passes every entry to fn, whose slices are valid until it
// returns.
func scan(r io.Reader, types string, fn func(expires int64, key, value []byte) error) error {
	b := bufio.NewReaderSize(r, 1<<16)
	sum := crc32.New(castagnoli)
	read := func(p []byte) error {
		if _, err := io.ReadFull(b, p); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("%w: it is torn", ErrCorrupt)
			}
			return err
		}
		sum.Write(p)
		return nil
	}
	head := make([]byte, len(saveMagic)+len(types))
	if err := read(head); err != nil {
		return err
	}
	if string(head) != saveMagic+types {
		return fmt.Errorf("%w: the header differs", ErrCorrupt)
	}
	var entry [16]byte
	var data []byte
	for n := uint64(0); ; n++ {
		if err := read(entry[:1]); err != nil {
			return err
		}
		switch entry[0] {
		case 0:
			if err := read(entry[:8]); err != nil {
				return err
			}
			want := sum.Sum32()
			got := [4]byte{}
			if err := read(got[:]); err != nil {
				return err
			}
			if binary.LittleEndian.Uint64(entry[:8]) != n || binary.LittleEndian.Uint32(got[:]) != want {
				return fmt.Errorf("%w: the checksum is wrong", ErrCorrupt)
			}
			return nil
		case 1:
		default:
			return fmt.Errorf("%w: entry %d is none", ErrCorrupt, n)
		}
		if err := read(entry[:]); err != nil {
			return err
		}
		klen, vlen := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
		if klen > 2<<20 || vlen > 2<<20 {
			return fmt.Errorf("%w: entry %d is too large", ErrCorrupt, n)
		}
		if int(klen+vlen) > cap(data) {
			data = make([]byte, 2*(klen+vlen))
		}
		data = data[:klen+vlen]
		if err := read(data); err != nil {
			return err
		}
		if err := fn(int64(binary.LittleEndian.Uint64(entry[:])), data[:klen], data[klen:]); err != nil {
			return err
		}
	}
}

// load reads a file twice: once to see that all of it is right, then for its entries.
func load(r io.Reader, types string, fn func(expires int64, key, value []byte) error) error {
	s, ok := r.(io.ReadSeeker)
	if ok {
		_, err := s.Seek(0, io.SeekCurrent)
		ok = err == nil // or it only looks like one: a pipe
	}
	if !ok {
		all, err := io.ReadAll(r)
		if err != nil {
			return fmt.Errorf("cache: Load: %w", err)
		}
		s = bytes.NewReader(all)
	}
	at, err := s.Seek(0, io.SeekCurrent)
	if err != nil {
		return fmt.Errorf("cache: Load: %w", err)
	}
	if err := scan(s, types, func(int64, []byte, []byte) error { return nil }); err != nil {
		return fmt.Errorf("cache: Load: %w", err)
	}
	if _, err := s.Seek(at, io.SeekStart); err != nil {
		return fmt.Errorf("cache: Load: %w", err)
	}
	if err := scan(s, types, fn); err != nil {
		return fmt.Errorf("cache: Load: %w", err)
	}
	return nil
}

// keyFrom returns a key that was saved.
func keyFrom[K comparable](b []byte) (k K, err error) {
	if reflect.TypeFor[K]().Kind() == reflect.String {
		*(*string)(unsafe.Pointer(&k)) = string(b)
		return k, nil
	}
	return fixedFrom[K](b)
}

func fixedFrom[T any](b []byte) (v T, err error) {
	if uintptr(len(b)) != unsafe.Sizeof(v) {
		return v, fmt.Errorf("%w: %d bytes for a %T", ErrCorrupt, len(b), v)
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&v)), len(b)), b)
	return v, nil
}

// Save writes the entries that are in the cache, with the time that they have left to
// live, in a format of its own that ends in a checksum. The cache may be used
// meanwhile: what comes or goes may be in the file or not. To have a whole file or
// none, write to a temporary one and rename it.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Save(w io.Writer) error {
	return saveAll(c.x, w, typeNames[K, V](), func(n unsafe.Pointer, s *saver) {
		k := keyOf[K](c.x, n)
		v := *(*V)(unsafe.Add(n, c.back))
		s.entry(c.x.wall(headerOf(n).deadline()), memory(&k), memory(&v))
	})
}

// Load stores the entries of a file that Save has written for a cache of the same
// types, as Set does; those whose time is over are left out. Before it stores any, it
// reads all of the file: an error that wraps [ErrCorrupt] means that nothing was
// loaded. A reader that can't seek is read into memory. An entry that does not fit is
// left out.
//
// Context: task; not pinned.
func (c *Cache[K, V]) Load(r io.Reader) error {
	return loadAll(c.x, r, fixedFrom[V], c.set)
}

// loadAll is Load of a cache: valueOf returns the value that was saved, set stores it.
func loadAll[K comparable, V any](c *core, r io.Reader, valueOf func([]byte) (V, error), set func(K, V, int64, bool, *atomic.Bool) (bool, error)) error {
	return load(r, typeNames[K, V](), func(expires int64, key, value []byte) error {
		k, err := keyFrom[K](key)
		if err != nil {
			return err
		}
		v, err := valueOf(value)
		if err != nil {
			return err
		}
		ttl := c.left(expires)
		if ttl < 0 {
			return nil
		}
		if _, err = set(k, v, ttl, false, nil); errors.Is(err, ErrBusy) || errors.Is(err, ErrTooLarge) {
			return nil // it is counted
		}
		return err
	})
}

// saveAll writes what entry does of each node. Those of a section are collected in
// memory, and written outside of it.
func saveAll(c *core, w io.Writer, types string, entry func(n unsafe.Pointer, s *saver)) error {
	if c.closed.Load() { // ord:cache-close
		return ErrClosed
	}
	s := newSaver(w, types)
	var some bytes.Buffer
	part := &saver{w: &some, sum: crc32.New(castagnoli)}
	c.each("Save", func(n unsafe.Pointer) {
		entry(n, part)
	}, func() bool {
		s.write(some.Bytes())
		some.Reset()
		return s.err == nil
	})
	s.n = part.n
	if err := s.end(); err != nil {
		return fmt.Errorf("cache: Save: %w", err)
	}
	return nil
}

// Save is [Cache.Save].
//
// Context: task; not pinned.
func (c *Bytes[K]) Save(w io.Writer) error {
	return saveAll(c.x, w, typeNames[K, []byte](), func(n unsafe.Pointer, s *saver) {
		k := keyOf[K](c.x, n)
		s.entry(c.x.wall(headerOf(n).deadline()), memory(&k), c.x.value(n))
	})
}

// Load is [Cache.Load].
//
// Context: task; not pinned.
func (c *Bytes[K]) Load(r io.Reader) error {
	return loadAll(c.x, r, func(b []byte) ([]byte, error) { return b, nil }, c.set)
}
