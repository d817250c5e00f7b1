package main

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/ulikunitz/xz"
)

// trace is a sequence of requests: keys are numbered by their first appearance.
type trace struct {
	name     string
	requests []uint32
	sizes    []uint32 // of each key's value, in bytes; nil: all alike
	keys     int      // distinct ones
}

// A format reads the keys of a file, and their sizes where it has some.
type format struct {
	prefix string // of the names of its files
	read   func(r *bufio.Reader, put func(key uint64, size uint32)) error
	sizes  bool
	at     []int // the capacities to measure, in entries
}

// capacities that a file has of its own stand before those of its family.
var formats = []format{
	{prefix: "adapt_size", read: readTimed, sizes: true, at: []int{1000, 5000}},
	{prefix: "arc-oltp", read: readRanges, at: []int{1000, 4000}},
	{prefix: "arc", read: readRanges, at: []int{50_000, 150_000}},
	{prefix: "cache2k-orm", read: readWords[uint32], at: []int{2500, 10_000}},
	{prefix: "cache2k", read: readWords[uint32], at: []int{1000, 3000}},
	{prefix: "cloud_physics", read: readWords[uint32], at: []int{50_000, 150_000}},
	{prefix: "corda", read: readWords[uint64], at: []int{512, 1024}},
	{prefix: "scarab", read: readWords[uint64], at: []int{25_000, 75_000}},
	{prefix: "lirs-2_pools", read: readNumbers, at: []int{200, 1000}},
	{prefix: "lirs-cpp", read: readNumbers, at: []int{50, 150}},
	{prefix: "lirs-cs", read: readNumbers, at: []int{500, 1000}},
	{prefix: "lirs-gli", read: readNumbers, at: []int{500, 1500}},
	{prefix: "lirs-loop", read: readNumbers, at: []int{250, 750}},
	{prefix: "lirs-multi1", read: readNumbers, at: []int{500, 1500}},
	{prefix: "lirs-multi", read: readNumbers, at: []int{1000, 2500}},
	{prefix: "lirs-ps", read: readNumbers, at: []int{1000, 2000}},
	{prefix: "lirs-zigzag", read: readNumbers, at: []int{500, 800}},
	{prefix: "lirs", read: readNumbers, at: []int{500, 2000}},
}

func formatOf(name string) (format, bool) {
	for _, f := range formats {
		if strings.HasPrefix(name, f.prefix) {
			return f, true
		}
	}
	return format{}, false
}

// openTrace reads a file: NAME.gz, NAME.xz or NAME.
func openTrace(path string) (*trace, format, error) {
	name, ext := traceName(path), filepath.Ext(path)
	f, ok := formatOf(name)
	if !ok {
		return nil, f, errors.ErrUnsupported
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, f, err
	}
	defer file.Close()
	var r io.Reader = bufio.NewReaderSize(file, 1<<20)
	switch ext {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".xz":
		r, err = xz.NewReader(r)
	}
	if err != nil {
		return nil, f, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	t, err := readTrace(name, f, r)
	if err != nil {
		err = fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	return t, f, err
}

// readTrace reads what a file of this format holds.
func readTrace(name string, f format, r io.Reader) (*trace, error) {
	t := &trace{name: name}
	n := numbering{}
	err := f.read(bufio.NewReaderSize(r, 1<<20), func(key uint64, size uint32) {
		i, isNew := n.number(key)
		t.requests = append(t.requests, i)
		if f.sizes && isNew {
			t.sizes = append(t.sizes, max(size, 1))
		}
	})
	t.keys = len(n)
	if err == nil && len(t.requests) == 0 {
		err = errors.New("no requests")
	}
	return t, err
}

// numbering gives keys numbers, by their first appearance.
type numbering map[uint64]uint32

func (n numbering) number(key uint64) (i uint32, isNew bool) {
	i, ok := n[key]
	if !ok {
		i = uint32(len(n))
		n[key] = i
	}
	return i, !ok
}

// readNumbers reads a key a line. What is no number is left out: blank lines,
// and marks that some of these traces have.
func readNumbers(r *bufio.Reader, put func(uint64, uint32)) error {
	return lines(r, func(words []string) error {
		if len(words) == 1 {
			if key, err := strconv.ParseUint(words[0], 10, 64); err == nil {
				put(key, 0)
			}
		}
		return nil
	})
}

// twoNumbers reads a line's first two words, the second of which fits 32 bits.
func twoNumbers(words []string) (a, b uint64, err error) {
	if len(words) < 2 {
		return 0, 0, fmt.Errorf("not two numbers: %q", strings.Join(words, " "))
	}
	a, err1 := strconv.ParseUint(words[0], 10, 64)
	b, err2 := strconv.ParseUint(words[1], 10, 32)
	return a, b, errors.Join(err1, err2)
}

// readRanges reads "start count …" a line: the keys start to start+count-1.
func readRanges(r *bufio.Reader, put func(uint64, uint32)) error {
	return lines(r, func(words []string) error {
		start, count, err := twoNumbers(words)
		if err != nil {
			return err
		}
		for i := range count {
			put(start+i, 0)
		}
		return nil
	})
}

// readTimed reads "time key bytes" a line.
func readTimed(r *bufio.Reader, put func(uint64, uint32)) error {
	return lines(r, func(words []string) error {
		key, size, err := twoNumbers(words[min(1, len(words)):])
		if err == nil {
			put(key, uint32(size))
		}
		return err
	})
}

// readWords reads big-endian numbers.
func readWords[T uint32 | uint64](r *bufio.Reader, put func(uint64, uint32)) error {
	buf := make([]byte, binary.Size(T(0)))
	for {
		switch _, err := io.ReadFull(r, buf); err {
		case nil:
		case io.EOF:
			return nil
		default:
			return err
		}
		var key uint64
		for _, b := range buf {
			key = key<<8 | uint64(b)
		}
		put(key, 0)
	}
}

// lines calls fn with the words of every line that has some.
func lines(r *bufio.Reader, fn func(words []string) error) error {
	s := bufio.NewScanner(r)
	for n := 1; s.Scan(); n++ {
		if words := strings.Fields(s.Text()); len(words) > 0 {
			if err := fn(words); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	return s.Err()
}

// tracesIn returns the files of a directory that have a known format, in order.
func tracesIn(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if _, ok := formatOf(e.Name()); ok && !e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	slices.Sort(paths)
	return paths, err
}
