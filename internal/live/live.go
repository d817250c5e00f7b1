// Package live knows what allocators, caches and maps the process has, for
// package inspect, which shows them. It keeps none of them alive.
//
// A package that makes objects of a [Kind] keeps a [Set] of those that are not
// closed, and provides their figures when it is initialized.
package live

import (
	"strconv"
	"sync"
	"weak"
)

// Set has the living objects of a type, each under a label of its own.
type Set[T any] struct {
	reading sync.Mutex // held while an object is read; mu is taken under it

	mu   sync.Mutex
	of   map[string]member[T]
	next map[string]int // by name: the first number that may be free, if that is not 1
	room int            // how many are added before those that are gone are looked for
}

type member[T any] struct {
	ptr  weak.Pointer[T]
	name string
	n    int // the label is the name with this number, if it is not 1
}

// Entry is an object with its label.
type Entry[T any] struct {
	Label  string
	Object *T
}

// Enter adds an object and returns its label: its name or, if another one has that,
// name#2, name#3 and so on, the first that is free. The object stays until it is
// removed, or is found to be garbage.
//
// Context: task; not pinned.
func (s *Set[T]) Enter(p *T, name string) (label string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of, s.next = make(map[string]member[T]), make(map[string]int)
	}
	if s.room--; s.room < 0 {
		s.sweepLocked()
		s.room = len(s.of) + 16
	}
	n := max(s.next[name], 1)
	for label = labelOf(name, n); s.usedLocked(label); label = labelOf(name, n) {
		n++
	}
	s.of[label] = member[T]{weak.Make(p), name, n}
	s.next[name] = n + 1
	return label
}

func labelOf(name string, n int) string {
	if n == 1 {
		return name
	}
	return name + "#" + strconv.Itoa(n)
}

func (s *Set[T]) usedLocked(label string) bool {
	_, used := s.of[label]
	return used
}

// Remove removes the object with a label, which may be garbage or gone already. No [ReadAll]
// reads the object any more when Remove returns.
//
// Context: task; not pinned. The caller holds no lock that reading takes.
func (s *Set[T]) Remove(p *T, label string) {
	s.mu.Lock()
	if m, ok := s.of[label]; ok && (m.ptr.Value() == nil || m.ptr.Value() == p) { // nil in p's finalizer
		s.dropLocked(label, m)
	}
	s.mu.Unlock()
	s.reading.Lock() // wait for one that found it before
	defer s.reading.Unlock()
}

// isLocked reports whether an object has a label.
func (s *Set[T]) isLocked(p *T, label string) bool {
	m, ok := s.of[label]
	return ok && m.ptr.Value() == p
}

// read calls fn with the object of an entry, unless it was removed.
func (s *Set[T]) read(e Entry[T], fn func(*T)) {
	s.reading.Lock()
	defer s.reading.Unlock()
	s.mu.Lock()
	is := s.isLocked(e.Object, e.Label)
	s.mu.Unlock()
	if is {
		fn(e.Object)
	}
}

// dropLocked makes a label free again.
func (s *Set[T]) dropLocked(label string, m member[T]) {
	delete(s.of, label)
	switch {
	case m.n == 1:
		delete(s.next, m.name)
	case m.n < s.next[m.name]:
		s.next[m.name] = m.n
	}
}

func (s *Set[T]) sweepLocked() {
	for label, m := range s.of {
		if m.ptr.Value() == nil {
			s.dropLocked(label, m)
		}
	}
}

// looksPerHold is how many objects All looks at before it lets those in who enter and
// remove objects: some microseconds. Untuned.
const looksPerHold = 64

// All returns the living objects, in no order. Those that come or go meanwhile are
// among them or not.
//
// Context: task; not pinned.
func (s *Set[T]) All() []Entry[T] { return s.collect(nil) }

// collect is All. Between holds of the lock it calls between, if that isn't nil.
func (s *Set[T]) collect(between func()) (all []Entry[T]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = make([]Entry[T], 0, len(s.of))
	looks := 0
	for label, m := range s.of { // which may change between the holds: a range over a map allows that
		if looks++; looks%looksPerHold == 0 {
			s.mu.Unlock()
			if between != nil {
				between()
			}
			s.mu.Lock()
			if s.of[label] != m {
				continue // removed meanwhile, and the label may be another one's
			}
		}
		if p := m.ptr.Value(); p != nil {
			all = append(all, Entry[T]{label, p})
		} else {
			s.dropLocked(label, m)
		}
	}
	return all
}

// Kind is what package inspect shows.
type Kind int

const (
	Allocators Kind = iota // page.Stats
	Slabs                  // slab.CacheStats
	Maps                   // MapFigures
	Caches                 // cache.Stats
	Profiles               // of Slabs: heapprof.Figures
	kinds
)

// Figures are an object's, under its label. Of is of the type that its Kind says.
type Figures struct {
	Label     string
	Allocator string // its label
	Owner     string // of a Slab: the map, cache or Heap that it is a size class of
	Of        any
}

// MapFigures are a map's.
type MapFigures struct {
	Keys    int
	Bytes   int64
	Buckets int64 // bytes of the table
}

var providers [kinds]func() []Figures

// Provide says where the figures of a kind come from. It is called by init
// functions.
func Provide(k Kind, fn func() []Figures) { providers[k] = fn }

// Read returns the figures of all living objects of a kind, in no order. It is
// empty if the program does not have the package.
//
// Context: task; not pinned.
func Read(k Kind) []Figures {
	if fn := providers[k]; fn != nil {
		return fn()
	}
	return nil
}

// ReadAll is the usual provider: figures of each object of a Set. It leaves out
// those that figures is false for.
func ReadAll[T any](s *Set[T], figures func(*T) (Figures, bool)) []Figures {
	all := s.All()
	out := make([]Figures, 0, len(all))
	for _, e := range all {
		s.read(e, func(p *T) {
			if f, ok := figures(p); ok {
				f.Label = e.Label
				out = append(out, f)
			}
		})
	}
	return out
}
