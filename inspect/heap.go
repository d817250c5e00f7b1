package inspect

import (
	"io"
	"os"
	"runtime"
	"time"

	"quiesce/internal/heapprof"
	"quiesce/internal/live"
)

// SetHeapProfileRate has about one sample taken for so many bytes, for
// [WriteHeapProfile], and returns what it was. The default is 512 KiB, as in Go's own
// heap profile; in race builds it is 0, which turns sampling off. With 1 every allocation
// is noted, which takes microseconds. What was allocated before is known by the old rate,
// or not at all.
//
// Context: any.
func SetHeapProfileRate(bytes int) (was int) { return int(heapprof.SetRate(int64(bytes))) }

// WriteHeapProfile writes a profile of the objects outside the Go heap, by call
// site, for
//
//	go tool pprof -top heap.pb.gz
//
// in use now (inuse_objects, inuse_space) and taken in total (alloc_objects,
// alloc_space). Each sample has the slab cache and its allocator as labels, for
// -tagfocus=cache=sessions. Call sites are outside of this library: those that called
// a map, a cache or package slab.
//
// What a slab cache has in use adds up to its live objects; the distribution over its
// call sites is an estimate from samples. A cache of which nothing was sampled, since
// it is small or older than the rate, is shown as [not sampled]; pages that are not in
// slab caches as [pages]. The total is of what came to Ps in arrays: an object that is
// freed and allocated again on its P is not counted again. A sample names the call that
// found its P's array of objects empty, for all objects of the next one. If one call site
// takes many and frees them, over and over, and another one of the same cache keeps a few
// of those each time, on the same P, the first is blamed for what the second has: not at
// rate 1. Fast paths are the same with sampling on and off.
//
// Context: task; not pinned.
func WriteHeapProfile(w io.Writer) error {
	p := newProfile(heapprof.Rate())
	slabBytes := make(map[string]int64)
	for _, c := range read(live.Slabs, slabCache) {
		slabBytes[c.Allocator] += c.Bytes
	}
	for _, f := range live.Read(live.Profiles) {
		of := f.Of.(heapprof.Figures)
		labels := []string{"cache", f.Label, "allocator", f.Allocator}
		for _, u := range of.Uses {
			values := [4]int64{u.TotalBytes / of.ObjectSize, u.TotalBytes, u.InUse, u.InUse * of.ObjectSize}
			if u.Site == nil {
				p.add(p.pseudo("[not sampled]"), values, labels)
			} else {
				p.add(p.stack(u.Site), values, labels)
			}
		}
	}
	for _, a := range read(live.Allocators, allocator) {
		if n := a.InUse - slabBytes[a.Name]; n > 0 {
			p.add(p.pseudo("[pages]"), [4]int64{0, 0, 0, n}, []string{"allocator", a.Name})
		}
	}
	return p.write(w)
}

// profile collects what the message Profile of pprof's profile.proto has.
type profile struct {
	strings   map[string]int64
	table     []string
	functions map[string]uint64 // by name and file
	locations map[runtime.Frame]uint64
	body      message // samples, locations and functions, as they come
	rate      int64
}

func newProfile(rate int64) *profile {
	p := &profile{strings: make(map[string]int64), functions: make(map[string]uint64), locations: make(map[runtime.Frame]uint64), rate: rate}
	p.str("")
	return p
}

// str returns the number of a string.
func (p *profile) str(s string) int64 {
	n, ok := p.strings[s]
	if !ok {
		n = int64(len(p.table))
		p.strings[s] = n
		p.table = append(p.table, s)
	}
	return n
}

// stack returns the locations of a stack, innermost first, from the frame on that
// called this library.
func (p *profile) stack(s *heapprof.Site) (ids []uint64) {
	all := s.Frames()
	if len(all) == 0 {
		return p.pseudo("[too many call sites]")
	}
	for _, f := range all {
		ids = append(ids, p.location(f))
	}
	return ids
}

// pseudo returns the location of what has no call site.
func (p *profile) pseudo(name string) []uint64 {
	return []uint64{p.location(runtime.Frame{Function: name})}
}

// location returns the number of a frame. Inlined functions have one of their own.
func (p *profile) location(f runtime.Frame) uint64 {
	key := runtime.Frame{PC: f.PC, Function: f.Function, File: f.File, Line: f.Line}
	if id := p.locations[key]; id != 0 {
		return id
	}
	name := f.Function + "\x00" + f.File
	fn := p.functions[name]
	if fn == 0 {
		fn = uint64(len(p.functions) + 1)
		p.functions[name] = fn
		var m message
		m.uint(1, fn)
		m.int(2, p.str(f.Function))
		m.int(3, p.str(f.Function))
		m.int(4, p.str(f.File))
		p.body.message(5, m)
	}
	id := uint64(len(p.locations) + 1)
	p.locations[key] = id
	var line, m message
	line.uint(1, fn)
	line.int(2, int64(f.Line))
	m.uint(1, id)
	if f.PC != 0 {
		m.uint(2, 1) // the mapping
		m.uint(3, uint64(f.PC))
	}
	m.message(4, line)
	p.body.message(4, m)
	return id
}

// add adds a sample. Labels are keys and values in turn.
func (p *profile) add(locations []uint64, values [4]int64, labels []string) {
	var m message
	m.packed(1, locations)
	v := make([]uint64, 0, len(values))
	for _, n := range values {
		v = append(v, uint64(n))
	}
	m.packed(2, v)
	for i := 0; i < len(labels); i += 2 {
		var l message
		l.int(1, p.str(labels[i]))
		l.int(2, p.str(labels[i+1]))
		m.message(3, l)
	}
	p.body.message(2, m)
}

// write writes the message, compressed.
func (p *profile) write(w io.Writer) error {
	var m message
	for _, t := range [][2]string{{"alloc_objects", "count"}, {"alloc_space", "bytes"}, {"inuse_objects", "count"}, {"inuse_space", "bytes"}} {
		m.message(1, p.valueType(t[0], t[1]))
	}
	var mapping message
	mapping.uint(1, 1)
	exe, _ := os.Executable()
	mapping.int(5, p.str(exe))
	for field := 7; field <= 10; field++ { // functions, files, lines and inlined frames are known
		mapping.uint(field, 1)
	}
	m.message(3, mapping)
	m = append(m, p.body...)
	m.int(9, time.Now().UnixNano())
	m.message(11, p.valueType("space", "bytes"))
	m.int(12, max(p.rate, 1))
	m.int(14, p.str("inuse_space"))
	for _, s := range p.table { // after the last str
		m.bytes(6, []byte(s))
	}
	return compress(w, m)
}

func (p *profile) valueType(kind, unit string) (m message) {
	m.int(1, p.str(kind))
	m.int(2, p.str(unit))
	return m
}
