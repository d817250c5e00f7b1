package live

import (
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"
	"weak"

	"quiesce/internal/testkit"
)

type thing [4]int

func labels(s *Set[thing]) (all []string) {
	for _, e := range s.All() {
		all = append(all, e.Label)
	}
	slices.Sort(all)
	return all
}

// No two living objects have one label, and a label is free when its object is
// removed, whatever names look like.
func TestLabelsDoNotCollide(t *testing.T) {
	var s Set[thing]
	var all []*thing
	add := func(name, want string) *thing {
		p := new(thing)
		all = append(all, p)
		if got := s.Enter(p, name); got != want {
			t.Fatalf("Enter %q: label %q, want %q", name, got, want)
		}
		return p
	}
	a := add("a", "a")
	b := add("a", "a#2")
	add("a#3", "a#3") // a name that looks like a label
	add("a", "a#4")
	s.Remove(b, "a#2")
	s.Remove(b, "a#2") // again
	add("a", "a#2")
	add("a", "a#5")
	s.Remove(b, "a") // another's
	s.Remove(a, "a")
	add("a", "a")
	add("", "")
	if got, want := labels(&s), []string{"", "a", "a#2", "a#3", "a#4", "a#5"}; !slices.Equal(got, want) {
		t.Errorf("labels %q, want %q", got, want)
	}
	runtime.KeepAlive(all)
}

// The set keeps no object alive, and forgets those that are gone.
func TestASetKeepsNothingAlive(t *testing.T) {
	var s Set[thing]
	kept := new(thing)
	s.Enter(kept, "kept")
	cleaned := make(chan bool, 1)
	gone := func() weak.Pointer[thing] {
		p := new(thing)
		s.Enter(p, "dropped")
		runtime.AddCleanup(p, func(c chan bool) { c <- true }, cleaned)
		return weak.Make(p)
	}()
	testkit.Eventually(t, 10*time.Second, "the object was collected", func() bool {
		runtime.GC()
		return gone.Value() == nil && len(cleaned) == 1
	})
	if got := labels(&s); !slices.Equal(got, []string{"kept"}) {
		t.Errorf("labels %q", got)
	}
	if got := s.Enter(new(thing), "dropped"); got != "dropped" {
		t.Errorf("the label of an object that is gone: %q", got)
	}
	runtime.KeepAlive(kept)
}

// Objects that are dropped and never asked for don't fill the set.
func TestDroppedObjectsAreForgottenByEnter(t *testing.T) {
	var s Set[thing]
	for i := range 2000 {
		s.Enter(new(thing), strconv.Itoa(i))
		if i%100 == 0 {
			runtime.GC()
		}
	}
	s.mu.Lock()
	n := len(s.of)
	s.mu.Unlock()
	if n > 1000 {
		t.Errorf("%d objects in the set, of 2000 that were dropped", n)
	}
}

// The finalizer of a dropped object, for which weak pointers are gone, makes its label
// free, and nobody else's.
func TestAFinalizerRemovesTheLabel(t *testing.T) {
	var s Set[thing]
	kept := new(thing)
	s.Enter(kept, "kept")
	done := make(chan bool, 1)
	func() {
		p := new(thing)
		s.Enter(p, "dropped")
		runtime.SetFinalizer(p, func(p *thing) {
			s.Remove(p, "kept")
			s.Remove(p, "dropped")
			done <- true
		})
	}()
	testkit.Eventually(t, 10*time.Second, "the finalizer ran", func() bool {
		runtime.GC()
		return len(done) == 1
	})
	s.mu.Lock()
	_, there := s.of["dropped"]
	s.mu.Unlock()
	if got := labels(&s); there || !slices.Equal(got, []string{"kept"}) {
		t.Errorf("labels %q; is the dropped one's taken: %v", got, there)
	}
	runtime.KeepAlive(kept)
}
