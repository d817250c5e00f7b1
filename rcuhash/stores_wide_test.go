//go:build delay && !race && !poison && !asan

package rcuhash

import (
	"fmt"
	"testing"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/rcu"
)

// halfway is a look-up in a wide bucket that has loaded meta and the tags.
type halfway struct {
	key   int // of the crowd's
	b     *bucket
	meta  uint64
	low   uint64
	began int
	blank bool // it has seen the keys and the chain without its own
}

// wideHistory has every look-up that can be under way in one section.
type wideHistory struct {
	c       *wideCrowd
	gone    int // the key that is deleted, or -1
	point   int
	lookups []halfway
	walk    walk
	seen    []int
	wrong   string
	inside  bool
}

func (y *wideHistory) say(what string, key, began int) {
	if y.wrong == "" {
		y.wrong = fmt.Sprintf("%s: key %d, from point %d to %d", what, key, began, y.point)
	}
}

// found returns the entry of a key that a look-up finds, or nil, which has loaded low for
// the tags, and far for what further buckets may have.
func (y *wideHistory) found(b *bucket, low, far uint64, key int) unsafe.Pointer {
	x, k := &y.c.x, y.c.keys[key]
	rep := tagOf(x.seeds.mix(k)) * everyByte
	for m := wideCandidates(low, rep); m != 0; m &= m - 1 {
		if e := b.entryOf(m); loadKey(e) == k {
			return e
		}
	}
	if b = x.nextWide(b); b == nil || far&farBit(rep) == 0 {
		return nil
	}
	return x.lookInChain(b, rep, k)
}

// at is called at each point between two stores. It allocates nothing, as it may be
// pinned.
func (y *wideHistory) at(tag string) {
	if tag != "entry" && tag != "live" && tag != "moved" || y.inside {
		return
	}
	y.inside = true
	defer func() { y.inside = false }()
	y.point++
	c, x := y.c, &y.c.x
	for i, k := range c.keys {
		h := x.seeds.mix(k)
		for _, n := range [...]uint64{c.at, c.at + c.t.n} {
			if b := c.t.bucketAt(x.base, n); b != nil && len(y.lookups) < cap(y.lookups) {
				y.lookups = append(y.lookups, halfway{key: i, b: b, meta: b.loadMeta(), low: b.loadLow(), began: y.point})
			}
		}
		if e := x.lookupWide(c.t, h, k); e == nil && i != y.gone {
			y.say("a look-up finds nothing", i, y.point)
		}
	}
	for i := range y.lookups {
		l := &y.lookups[i]
		low := l.b.loadLow()
		for _, e := range [...]unsafe.Pointer{
			y.found(l.b, l.low, l.low, l.key), y.found(l.b, l.low, low, l.key), y.found(l.b, low, low, l.key),
		} {
			if e != nil && *(*uint64)(e) != valueOfKey(c.keys[l.key]) {
				y.say("a look-up finds another's value", l.key, l.began)
			}
			l.blank = l.blank || e == nil
		}
		if l.blank && l.key != y.gone {
			if _, again, _ := x.missed(c.t, x.seeds.mix(c.keys[l.key]), l.b, l.meta); again == nil {
				y.say("a look-up ends without its key", l.key, l.began)
			}
		}
	}
	clear(y.seen)
	for w := (walk{nodes: y.walk.nodes, keys: y.walk.keys}); x.step(&w, c.t); {
		for _, k := range w.keys {
			for i := range c.keys {
				if c.keys[i] == k {
					y.seen[i]++
				}
			}
		}
	}
	for i, n := range y.seen {
		if n != 1 && i != y.gone {
			y.say("a walk sees a key twice, or never", i, y.point)
		}
	}
}

func (c *wideCrowd) merge(t *testing.T) {
	t.Helper()
	if !c.x.mergeLast(c.t) {
		t.Fatal("no merge")
	}
}

// (H-A), (H-B) At each point between two stores of whatever is done to a wide bucket, a
// look-up and a walk find every key that stays, with its value; and a look-up that began
// at any earlier point, with the tags of then or of now, finds it or looks again.
func TestHA_LookUpsInWideBucketsFindTheirKeysBetweenAnyTwoStores(t *testing.T) {
	steps := map[string]func(t *testing.T, c *wideCrowd){
		"split": func(t *testing.T, c *wideCrowd) { c.split(t) },
		"merge": func(t *testing.T, c *wideCrowd) { c.merge(t) },
		"put": func(t *testing.T, c *wideCrowd) {
			for _, k := range c.keys[1:] {
				c.PutFlags(k, valueOfKey(k), gfp.NoWait)
			}
		},
		"delete": func(t *testing.T, c *wideCrowd) {
			c.Delete(c.keys[0])
			c.PutFlags(c.keys[0], valueOfKey(c.keys[0]), gfp.NoWait)
			c.Delete(c.keys[0])
		},
	}
	for _, s := range []struct {
		keys int
		do   []string
	}{
		{3, []string{"put", "put", "put", "put", "put"}}, // until it is all nodes, and none more
		{10, []string{"put", "split"}},
		{12, []string{"split", "put", "put"}},
		{14, []string{"delete", "put"}},
		{5, []string{"split", "|", "merge", "|", "split", "put", "|", "merge"}},
		{20, []string{"delete", "split", "|", "put", "|", "put"}},
	} {
		c := newWideCrowd(t, s.keys)
		y := wideHistory{
			c: c, gone: 0, seen: make([]int, len(c.keys)), lookups: make([]halfway, 0, 1<<15),
			walk: walk{nodes: make([]unsafe.Pointer, 0, 8*slots), keys: make([]uint64, 0, 8*slots)},
		}
		points := 0
		for _, part := range append(s.do, "|") {
			if part != "|" {
				continue
			}
			g := rcu.ReadLock()
			fault.At(y.at)
			for len(s.do) > 0 && s.do[0] != "|" {
				steps[s.do[0]](t, c)
				s.do = s.do[1:]
			}
			fault.At(nil)
			g.Unlock()
			if len(s.do) > 0 {
				s.do = s.do[1:]
			}
			settle()
			if points += y.point; len(y.lookups) == cap(y.lookups) {
				t.Errorf("%d keys: %d look-ups are too many", s.keys, len(y.lookups))
			}
			y.lookups, y.point = y.lookups[:0], 0
		}
		if y.wrong != "" {
			t.Errorf("%d keys: %s", s.keys, y.wrong)
		}
		if points < 15 {
			t.Errorf("%d keys: %d points", s.keys, points)
		}
		checkIndex(t, &c.x)
	}
}

// (H-B) A walk that has seen an entry's tag, and reads its key after that has died, does
// not show the cookie. In a table of four buckets one cookie of four would belong to the
// bucket.
func TestHB_AWalkShowsNoCookie(t *testing.T) {
	defer fault.At(nil)
	for range 60 {
		m := newMap[uint64, uint64](t, 0, 0)
		for k := range uint64(3) {
			m.Put(1<<40+k, k)
		}
		did := false
		fault.At(func(tag string) {
			if tag == "entry" && !did {
				did = true
				for k := range uint64(3) {
					m.Delete(1<<40 + k)
				}
			}
		})
		rcu.Read(func(g rcu.Guard) {
			for k := range m.All(g) {
				if k < 1<<40 {
					t.Fatalf("it shows %d", k)
				}
			}
		})
		if fault.At(nil); !did {
			t.Fatal("the walk was not stopped")
		}
	}
}
