//go:build delay

package rcuhash

import (
	"fmt"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/rcu"
)

// crowd is a bucket with a chain of two, all of whose keys are known.
type crowd struct {
	moving
	keys []uint64
}

// newCrowd returns one of which half the keys move.
func newCrowd(t *testing.T) crowd {
	t.Helper()
	c := crowd{moving: newMoving(t)}
	c.keys = []uint64{c.mover, c.keeper}
	room := map[bool]int{true: slots / 2, false: slots/2 + 2} // for movers, and keepers
	for k := uint64(0); room[true]+room[false] > 0; k++ {
		h := c.x.hash(&k)
		mover := h&c.t.n != 0
		if h&(c.t.n-1) == c.at && k != c.mover && k != c.keeper && room[mover] > 0 {
			room[mover]--
			c.keys = append(c.keys, k)
			c.Put(k, k)
		}
	}
	if c.x.next(c.t.bucketAt(c.x.base, c.at)) == nil {
		t.Fatal("there is no chain")
	}
	return c
}

// toggle splits the bucket, or merges its child back.
func (c *crowd) toggle(t *testing.T) {
	t.Helper()
	if c.t.cursor.Load() == int64(c.at) {
		c.split(t)
		return
	}
	for range 1000 {
		if c.x.mergeLast(c.t) {
			return
		}
		c.x.free(c.x.allocBuckets(1, gfp.NoWait)) // which a merge may need, and does not wait for
	}
	t.Fatal("no merge")
}

// suspended is a look-up that stopped before it looked at the first slot, or, once
// it is blank, after the last: it did not find its key.
type suspended struct {
	key   uint64
	w     watched
	began int
	blank bool
}

// history has every look-up that can be under way during a series of splits and
// merges, with its state. It allocates nothing, as its points may be pinned.
type history struct {
	c       *crowd
	point   int
	lookups []suspended
	walk    walk
	seen    []int
	wrong   string
	inside  bool
}

// at is called at each point between two stores.
func (y *history) at(tag string) {
	// Other goroutines call it with other tags.
	if tag != "entry" && tag != "live" && tag != "moved" || y.inside {
		return
	}
	y.inside = true
	defer func() { y.inside = false }()
	y.point++
	c, x := y.c, &y.c.x
	for _, k := range c.keys {
		h := x.hash(&k)
		for _, i := range [...]uint64{c.at, c.at + c.t.n} {
			if b := c.t.bucketAt(x.base, i); b != nil && len(y.lookups) < cap(y.lookups) {
				w := watched{x: &x.core, t: c.t, hash: h, rep: tagOf(h) * everyByte, b: b, meta: b.loadMeta()}
				y.lookups = append(y.lookups, suspended{key: k, w: w, began: y.point})
			}
		}
		if x.lookup(c.t, h, &k) == nil {
			y.say("a look-up finds nothing", y.point)
		}
	}
	for i := range y.lookups {
		l := &y.lookups[i]
		l.blank = l.blank || !c.isIn(l.w.b, l.key)
		if w := l.w; l.blank && !w.missed() {
			y.say("a look-up ends without its key", l.began)
		}
	}
	clear(y.seen)
	for w := (walk{nodes: y.walk.nodes}); x.step(&w, c.t); {
		for _, n := range w.nodes {
			for i, k := range c.keys {
				if x.is(n, &k) {
					y.seen[i]++
				}
			}
		}
	}
	for _, n := range y.seen {
		if n != 1 {
			y.say("a walk sees a key twice, or never", y.point)
		}
	}
}

func (y *history) say(what string, began int) {
	if y.wrong == "" {
		y.wrong = fmt.Sprintf("%s: it began at point %d and is at point %d", what, began, y.point)
	}
}

// isIn reports whether a look-up sees the key in a chain.
func (c *crowd) isIn(b *bucket, k uint64) bool {
	x := &c.x
	for rep := tagOf(x.hash(&k)) * everyByte; b != nil; b = x.next(b) {
		for m := b.candidates(rep); m != 0; m &= m - 1 {
			if n := x.node(b, slotOf(m)); n != nil && x.is(n, &k) {
				return true
			}
		}
	}
	return false
}

// (H-A) At each point between two stores of a split or a merge, a look-up and a
// walk find every key. And a look-up that began at any earlier point, in the
// parent or in the child, and saw the slots at any point since without its key,
// looks again.
func TestHA_LookUpsAndWalksBetweenAnyTwoStoresFindTheirKeys(t *testing.T) {
	c := newCrowd(t)
	y := history{
		c: &c, seen: make([]int, len(c.keys)),
		lookups: make([]suspended, 0, 1<<14), walk: walk{nodes: make([]unsafe.Pointer, 0, 8*slots)},
	}
	fault.At(y.at)
	defer fault.At(nil)
	for range 5 {
		c.toggle(t)
	}
	fault.At(nil)
	if y.wrong != "" {
		t.Error(y.wrong)
	}
	if y.point < 4*slots || len(y.lookups) == cap(y.lookups) {
		t.Errorf("%d points and %d look-ups", y.point, len(y.lookups))
	}
	checkIndex(t, &c.x)
}

// (H-A) A walk is stopped twice, at any two points in the bucket where it begins,
// and each time the bucket is split, or merged, or both. It sees every key once.
func TestHA_AWalkSeesThatEntriesMoveWhileItIsInTheirBucket(t *testing.T) {
	const points = 6
	for n := range 2 * 2 * 3 * points * points {
		isSplit, first, second := n%2, n/2%2+1, n/4%3
		p, q := n/12%points+1, n/12/points+1
		if q <= p {
			continue
		}
		c := newCrowd(t)
		for range isSplit {
			c.toggle(t)
		}
		now, inside := 0, false
		fault.At(func(tag string) {
			if tag != "moved" && tag != "live" || inside {
				return
			}
			inside = true
			changes := 0
			switch now++; now {
			case p:
				changes = first
			case q:
				changes = second
			}
			for range changes {
				c.toggle(t)
			}
			inside = false
		})
		seen := map[uint64]int{}
		rcu.Read(func(g rcu.Guard) {
			for k := range c.All(g) {
				seen[k]++
			}
		})
		fault.At(nil)
		for _, k := range c.keys {
			if seen[k] != 1 {
				t.Fatalf("the child is live: %v, %d changes at point %d, %d at point %d: key %d was seen %d times",
					isSplit == 1, first, p, second, q, k, seen[k])
			}
		}
		if now < points {
			t.Fatalf("the walk had %d points", now)
		}
		checkIndex(t, &c.x)
	}
}
