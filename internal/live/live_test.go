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

// Who enters or removes an object waits for a bounded hold of a list that is being made,
// and what stays all the while is in that list once, whatever comes and goes.
func TestAllLetsOthersInBetween(t *testing.T) {
	const stay = 20 * looksPerHold
	var s Set[thing]
	var kept, going []*thing
	for i := range stay {
		kept = append(kept, new(thing))
		s.Enter(kept[i], "kept"+strconv.Itoa(i))
		going = append(going, new(thing))
		s.Enter(going[i], "going"+strconv.Itoa(i))
	}
	holds, come := 0, 0
	all := s.collect(func() {
		holds++
		for range looksPerHold { // so many that the map grows meanwhile
			p := new(thing)
			kept = append(kept, p)
			s.Enter(p, "come")
			come++
		}
		s.Remove(going[holds], "going"+strconv.Itoa(holds))
		s.Enter(new(thing), "going"+strconv.Itoa(holds))
	})
	if holds < 2*stay/looksPerHold-1 || holds > (2*stay+come)/looksPerHold {
		t.Errorf("%d holds for %d objects and %d that came: a hold looks at %d", holds, 2*stay, come, looksPerHold)
	}
	times := make(map[*thing]int)
	for _, e := range all {
		if times[e.Object]++; times[e.Object] > 1 {
			t.Errorf("%s is there %d times", e.Label, times[e.Object])
		}
	}
	for i, p := range kept[:stay] {
		if times[p] != 1 {
			t.Errorf("kept%d is there %d times", i, times[p])
		}
	}
	runtime.KeepAlive(going)
}

// Objects come and go, and others are read, while one of a list is read that takes its
// time: only the removal of that one waits.
func TestReadingAnObjectStopsNobodyElse(t *testing.T) {
	var s Set[thing]
	objects := []*thing{new(thing), new(thing), new(thing)}
	for i, p := range objects {
		s.Enter(p, strconv.Itoa(i))
	}
	seen := 0
	ReadAll(&s, func(p *thing) (Figures, bool) {
		seen++
		later := new(thing) // the same goroutine: what would wait for the reading would do so forever
		if got := s.Enter(later, "later"+strconv.Itoa(seen)); got != "later"+strconv.Itoa(seen) || len(s.All()) != 3+seen {
			t.Errorf("label %q among %d objects", got, len(s.All()))
		}
		objects = append(objects, later)
		return Figures{}, true
	})
	if seen != 3 {
		t.Errorf("%d objects were read, want 3", seen)
	}
	runtime.KeepAlive(objects)
}
