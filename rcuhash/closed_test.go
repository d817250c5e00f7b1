package rcuhash

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"quiesce/gfp"
	"quiesce/internal/testkit"
	"quiesce/preempt"
	"quiesce/rcu"
)

// closedOps are the operations that a closed map refuses, each with the name
// that it gives in its panic.
var closedOps = []struct {
	name, says string
	do         func(m *Map[string, int])
}{
	{"Get", "Get", under(func(m *Map[string, int], g rcu.Guard) { m.Get(g, "key") })},
	{"Range", "Range", func(m *Map[string, int]) { m.Range(func(string, *int) bool { return true }) }},
	{"Put", "Put", func(m *Map[string, int]) { m.Put("key", 1) }},
	{"PutFlags", "Put", func(m *Map[string, int]) { m.PutFlags("key", 1, gfp.NoLocks) }},
	{"Delete", "Delete", func(m *Map[string, int]) { m.Delete("key") }},
	{"GetKey", "GetKey", under(func(m *Map[string, int], g rcu.Guard) { m.GetKey(g, []byte("key")) })},
	{"GetBatch", "GetBatch", under(func(m *Map[string, int], g rcu.Guard) { m.GetBatch(g, []string{"key"}, make([]*int, 1)) })},
	{"GetBatch of nothing", "GetBatch", under(func(m *Map[string, int], g rcu.Guard) { m.GetBatch(g, nil, nil) })},
	{"All", "All", under(func(m *Map[string, int], g rcu.Guard) { m.All(g) })},
	{"Swap", "Swap", under(func(m *Map[string, int], g rcu.Guard) { m.Swap(g, "key", 1) })},
	{"LoadAndDelete", "LoadAndDelete", under(func(m *Map[string, int], g rcu.Guard) { m.LoadAndDelete(g, "key") })},
	{"CompareAndDelete", "CompareAndDelete", under(func(m *Map[string, int], g rcu.Guard) { m.CompareAndDelete(g, "key", new(int)) })},
	{"CompareAndDelete of nil", "CompareAndDelete", under(func(m *Map[string, int], g rcu.Guard) { m.CompareAndDelete(g, "key", nil) })},
	{"PutIfAbsent", "PutIfAbsent", func(m *Map[string, int]) { m.PutIfAbsent("key", 1) }},
	{"Compute", "Compute", func(m *Map[string, int]) { m.Compute("key", func(*int) (int, Op) { return 1, Replace }) }},
	{"Clear", "Clear", func(m *Map[string, int]) { m.Clear() }},
	{"Prepare", "Prepare", func(m *Map[string, int]) { _ = m.Prepare(3) }},
	{"Barrier", "Barrier", func(m *Map[string, int]) { m.Barrier() }},
}

// under runs an operation in a section.
func under(do func(m *Map[string, int], g rcu.Guard)) func(m *Map[string, int]) {
	return func(m *Map[string, int]) { rcu.Read(func(g rcu.Guard) { do(m, g) }) }
}

// closedContexts are the contexts in which a panic can be recovered.
var closedContexts = []struct {
	name string
	in   func(fn func())
}{
	{"task", func(fn func()) { fn() }},
	{"reader", func(fn func()) { rcu.Read(func(rcu.Guard) { fn() }) }},
	{"threaded handler", preempt.Threaded},
}

func closedMap(t *testing.T) *Map[string, int] {
	t.Helper()
	a := newPages(t, 0)
	m, err := New[string, int](100, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"key", "other"} {
		if !m.Put(k, 1) {
			t.Fatal("no memory")
		}
	}
	if err := errors.Join(m.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	return m
}

// Every operation on a closed map is one panic that names the operation, and a
// program that recovers it is as well as before: not pinned, no lock held, no
// reader still counted.
func TestUseOfAClosedMapPanicsAndTheProgramContinues(t *testing.T) {
	for _, c := range closedContexts {
		for _, op := range closedOps {
			t.Run(c.name+"/"+op.name, func(t *testing.T) {
				m := closedMap(t)
				for range 2 {
					testkit.Panics(t, func() { c.in(func() { op.do(m) }) }, "quiesce/rcuhash: "+op.says+" of a closed map")
				}
				if preempt.Atomic() {
					t.Fatal("still pinned")
				}
				testkit.Within(t, "a grace period", testkit.Async(rcu.Synchronize))
				runtime.GC()
				other := newMap[string, int](t, 100, 0)
				for range 256 { // a stripe left locked would be met
					if other.Put("key", 2); !other.Delete("key") {
						t.Error("another map lost its key")
					}
				}
			})
		}
	}
}

// Where a panic can't be recovered, the process ends with the same sentence.
func TestUseOfAClosedMapIsNamedWhereThePanicIsFatal(t *testing.T) {
	if name := testkit.Scenario(); name != "" {
		m := closedMap(t)
		for _, c := range pinnedContexts {
			for _, op := range closedOps {
				if c.name+"/"+op.name == name {
					c.in(func() { op.do(m) })
				}
			}
		}
		t.Fatal("still alive")
	}
	for _, c := range pinnedContexts {
		if testing.Short() && c.name != "pinned" {
			continue // a process each
		}
		for _, op := range closedOps {
			t.Run(c.name+"/"+op.name, func(t *testing.T) {
				t.Parallel() // a process of its own
				out, err := testkit.OfTest(t, c.name+"/"+op.name).Output()
				if err == nil || !strings.Contains(out, "panic: quiesce/rcuhash: "+op.says+" of a closed map") {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

func TestAClosedMapIsEmpty(t *testing.T) {
	m := closedMap(t)
	if n := m.Len(); n != 0 {
		t.Errorf("Len is %d", n)
	}
	for _, s := range m.Stats() {
		if s.Out != 0 || s.Bytes != 0 {
			t.Errorf("%+v", s)
		}
	}
	if err := m.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
}

// The same for Bytes.
func TestUseOfClosedBytesPanics(t *testing.T) {
	a := newPages(t, 0)
	m, err := NewBytes[string](100, WithAllocator(a))
	if err != nil {
		t.Fatal(err)
	}
	for k := range 100 {
		m.Put(strings.Repeat("k", k), make([]byte, 100*k))
	}
	if err := errors.Join(m.Close(), a.Close()); err != nil {
		t.Fatal(err)
	}
	g := rcu.ReadLock()
	defer g.Unlock()
	for says, do := range map[string]func(){
		"Get":           func() { m.Get(g, "k") },
		"GetKey":        func() { m.GetKey(g, nil) },
		"GetBatch":      func() { m.GetBatch(g, nil, nil) },
		"Put":           func() { m.Put("k", nil) },
		"PutIfAbsent":   func() { m.PutIfAbsent("k", nil) },
		"Swap":          func() { m.Swap(g, "k", nil) },
		"Compute":       func() { m.Compute("k", func([]byte) ([]byte, Op) { return nil, Keep }) },
		"Delete":        func() { m.Delete("k") },
		"LoadAndDelete": func() { m.LoadAndDelete(g, "k") },
		"All":           func() { m.All(g) },
		"Range":         func() { m.Range(func(string, []byte) bool { return true }) },
		"Clear":         m.Clear,
		"Prepare":       func() { _ = m.Prepare(1, 1) },
		"Barrier":       m.Barrier,
	} {
		testkit.Panics(t, do, "quiesce/rcuhash: "+says+" of a closed map")
	}
	if m.Len() != 0 || m.Bytes() != 0 {
		t.Errorf("Len is %d, Bytes %d", m.Len(), m.Bytes())
	}
	if err := m.Close(); !errors.Is(err, ErrClosed) {
		t.Errorf("the second Close: %v", err)
	}
}
