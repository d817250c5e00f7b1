package depcheck

import (
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// class is what all locks of one type, name and subclass have in common. The
// rules are about classes, so that one run of each order is enough to find that
// two of them contradict each other.
type class struct {
	*label
	fwd   uint32 // first edge to a class that was taken while this one was held
	bwd   uint32 // first edge from a class that was held when this one was taken
	usage atomic.Uint32
	safe  uint32            // "in" bits of the classes that lead here, and
	open  uint32            // "on" bits of those that follow it: irq.go
	trace [usageBits]uint16 // the stack at which each bit was first set
}

// label says which class it is. It is immutable and one pointer away, so that
// reports and checks read it without graph, even during a Reset.
type label struct {
	ty   *Type
	name string
	sub  uint8
	hash uint64
}

// noLabel is what a hook sees if a Reset discarded its class.
var noLabel = &label{ty: &Type{}}

// Map is a lock as lockdep knows it. The zero value is the Map of a lock without
// a name, whose class is that of the place where it is first taken. A Map must
// not be copied after first use.
//
// Linux: struct lockdep_map.
type Map struct {
	name  string
	class atomic.Uint64 // generation << 16 | class of subclass 0
	id    atomic.Uint64 // of this lock, since it was first taken or last named
}

// Init names the class: all locks of one type and name are one class. A lock
// that is held is reported.
//
// Context: any.
//
// Linux: lockdep_init_map.
//
//go:norace
func (m *Map) Init(name string) {
	if Enabled() && m.id.Load() != 0 {
		m.initSlow(name)
	}
	m.name = name
	m.class.Store(0)
}

//go:norace
//go:noinline
func (m *Map) initSlow(name string) {
	var r request
	r.record(2)
	r.begin()
	var h held
	if owner := removeAnywhere(m.id.Load(), &h); owner != 0 {
		r.reportHeldInit(&h, owner)
	}
	m.id.Store(0)
	r.end()
}

// Name returns the name that Init gave.
func (m *Map) Name() string { return m.name }

// classOf returns the number of the lock's class, or 0 if there is no room for
// another class.
//
//go:norace
func (r *request) classOf(m *Map, ty *Type, sub uint8) uint16 {
	gen := uint64(tables.gen.Load())
	if c := m.class.Load(); sub == 0 && c>>16 == gen {
		return uint16(c)
	}
	name := m.name
	if name == "" {
		name = ty.Name + " of " + r.site()
	}
	tables.graph.lock()
	n := r.registerLocked(ty, name, sub)
	tables.graph.unlock()
	if n != 0 && sub == 0 {
		m.class.Store(gen<<16 | uint64(n))
	}
	return n
}

// registerLocked finds a class or makes it.
//
//go:norace
func (r *request) registerLocked(ty *Type, name string, sub uint8) uint16 {
	t := &tables
	h := uint64(sub)
	for i := 0; i < len(ty.Name); i++ {
		h = h*0x100000001b3 + uint64(ty.Name[i])
	}
	for i := 0; i < len(name); i++ {
		h = h*0x100000001b3 + uint64(name[i])
	}
	h = mix(h)
	i := h % uint64(len(t.byName))
	for ; t.byName[i] != 0; i = (i + 1) % uint64(len(t.byName)) {
		c := &t.classes[t.byName[i]]
		if c.hash == h && c.ty == ty && c.name == name && c.sub == sub {
			return t.byName[i]
		}
	}
	if t.nclasses == maxClasses {
		r.overflow(fullClasses)
		return 0
	}
	n := uint16(t.nclasses)
	t.nclasses++
	c := &t.classes[n]
	c.label = &label{ty, name, sub, h}
	t.byName[i] = n
	t.order.add(n)
	return n
}

// title is the class's name in reports.
//
//go:norace
func (l *label) title() string {
	name := l.name
	if name == "" {
		name = l.ty.Name
	}
	if l.sub != 0 {
		name += "/" + strconv.Itoa(int(l.sub))
	}
	return name
}

// shortName is a function's name without its package's directory.
func shortName(function string) string {
	return function[strings.LastIndexByte(function, '/')+1:]
}

// site is the caller of the locks' packages as function:line. It may be called
// in any context: it takes microseconds, once for each lock without a name.
func (r *request) site() string {
	frames := runtime.CallersFrames(slices.Clone(r.pcs[:r.n])) // a copy: requests stay on the stack
	for {
		f, more := frames.Next()
		if f.Function != "" && !plumbing(f.Function) {
			return shortName(f.Function) + ":" + strconv.Itoa(f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// plumbing reports whether a function belongs to the locks or to lockdep, which
// reports and sites leave out.
func plumbing(name string) bool {
	for _, p := range plumbingPrefixes {
		if rest, ok := strings.CutPrefix(name, p); ok && !strings.HasPrefix(rest, "Test") {
			return true
		}
	}
	return false
}

// outside reports whether a frame is of the program that uses the library, its
// tests included.
func outside(f runtime.Frame) bool {
	if f.Function == "" || strings.HasPrefix(f.Function, "runtime.") {
		return false
	}
	rest, ok := strings.CutPrefix(f.Function, libraryModule)
	if !ok || strings.HasSuffix(f.File, "_test.go") {
		return true
	}
	end := strings.IndexAny(rest, "./")
	return end < 0 || !slices.Contains(libraryDirs, rest[:end])
}

var libraryDirs = []string{"gfp", "internal", "lock", "lockdep", "page", "preempt", "rcu", "rcuhash", "slab", "srcu"}

// libraryModule is the module's path, whatever its name, with a slash.
var libraryModule = func() string {
	pc, _, _, _ := runtime.Caller(0)
	module, _, _ := strings.Cut(runtime.FuncForPC(pc).Name(), "internal/depcheck.")
	return module
}()

// plumbingPrefixes are these packages' functions, whatever the module's name.
var plumbingPrefixes = func() []string {
	module := libraryModule
	return []string{
		module + "internal/depcheck.", module + "lockdep.", module + "lock.(", module + "preempt.",
		module + "rcu.ReadLock", module + "rcu.Guard", module + "rcu.(*Guard).", module + "rcu.(*Reader).", module + "rcu.(*sections).", module + "rcu.(*gpQueue).", module + "rcu.wait", module + "rcu.mayWait", module + "rcu.firstReadLock",
		module + "page.(*Allocator).mightAlloc", module + "page.(*Allocator).checkMaySleep", module + "page.(*Allocator).mightReclaim",
		module + "page.(*bridge).MightAlloc", module + "page.(*bridge).MightReclaim",
		module + "slab.(*cache).mightAlloc", module + "slab.(*cache).checkMaySleep", module + "slab.mightSleep",
	}
}()
