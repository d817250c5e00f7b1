package linear

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/anishathalye/porcupine"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

var duration = flag.Duration("linear.time", time.Second, "time for each kind of history")

const (
	clients = 4
	keys    = 6
	steps   = 150 // of each client in one history
)

// value is torn if its words don't fit together.
type value [5]uint64

func whole(n uint64) (v value) {
	for i := range v {
		v[i] = n * uint64(2*i+1)
	}
	return v
}

func (v *value) number(t *testing.T) uint64 {
	if v == nil {
		return 0
	}
	if *v != whole(v[0]) {
		t.Errorf("a value is torn: %v", *v)
	}
	return v[0]
}

// target is what the clients use: the map, or a broken one of the tests of
// the tests.
type target interface {
	Get(g rcu.Guard, k string) *value
	PutFlags(k string, v value, f gfp.Flags) bool
	Delete(k string) bool
	PutIfAbsent(k string, v value) (stored, ok bool)
	Swap(g rcu.Guard, k string, v value) (old *value, ok bool)
	LoadAndDelete(g rcu.Guard, k string) *value
	Compute(k string, fn func(old *value) (value, rcuhash.Op)) bool
	Range(fn func(string, *value) bool)
}

var names = func() (s [keys]string) {
	for i := range s {
		s[i] = fmt.Sprintf("key %d", i)
	}
	return s
}()

// others are the names of further keys, of the same length.
var others = func() (s [1000]string) {
	for i := range s {
		s[i] = fmt.Sprintf("%05d", i)
	}
	return s
}()

func isOther(name string) bool { return name[0] != names[0][0] }

func keyOf(name string) int { return int(name[len(name)-1] - '0') }

// client is one goroutine's part of a history.
type client struct {
	t       *testing.T
	id      int
	m       target
	rnd     *rand.Rand
	epoch   time.Time
	next    uint64 // number of its next value
	history []porcupine.Operation

	contexts int // how many of them it uses; the first is the goroutine's own
}

const contexts = 4

func (c *client) now() int64 { return int64(time.Since(c.epoch)) }

func (c *client) add(in call, from int64, out result) {
	c.history = append(c.history, porcupine.Operation{ClientId: c.id, Input: in, Call: from, Output: out, Return: c.now()})
}

// fresh returns a number that no other value has.
func (c *client) fresh() uint64 {
	c.next++
	return c.next<<8 | uint64(c.id)
}

// step does one operation in some context.
func (c *client) step() {
	k := c.rnd.IntN(keys)
	var in call
	var out result
	context := c.rnd.IntN(c.contexts)
	do := func(fn func()) int64 {
		from := c.now()
		switch context {
		case 1:
			p := preempt.Disable()
			fn()
			p.Enable()
		case 2:
			preempt.Hardirq(fn)
		default:
			fn()
		}
		return from
	}
	var from int64
	switch n := c.rnd.IntN(100); {
	case n < 35:
		in = call{get, k, 0}
		var got value
		from = do(func() {
			g := rcu.ReadLock()
			if v := c.m.Get(g, names[k]); v != nil {
				got = *v
			}
			g.Unlock()
		})
		if got != (value{}) {
			out.value = got.number(c.t)
		}
	case n < 55:
		in = call{put, k, c.fresh()}
		v := whole(in.value)
		f := [contexts]gfp.Flags{gfp.Kernel, gfp.NoLocks, gfp.NoLocks, gfp.NoWait}[context] | gfp.NoWarn
		from = do(func() { out.ok = c.m.PutFlags(names[k], v, f) })
	case n < 65:
		in = call{del, k, 0}
		from = do(func() { out.ok = c.m.Delete(names[k]) })
	case n < 72:
		in = call{load, k, 0}
		from = do(func() { rcu.Read(func(g rcu.Guard) { out.old = c.m.LoadAndDelete(g, names[k]).number(c.t) }) })
	case n < 79:
		in = call{absent, k, c.fresh()}
		from = c.now()
		out.stored, out.ok = c.m.PutIfAbsent(names[k], whole(in.value))
	case n < 86:
		in = call{swap, k, c.fresh()}
		from = c.now()
		rcu.Read(func(g rcu.Guard) {
			old, ok := c.m.Swap(g, names[k], whole(in.value))
			out.old, out.ok = old.number(c.t), ok
		})
	case n < 95:
		in = call{[]kind{compute, remove}[n%2], k, c.fresh()}
		from = c.now()
		out.ok = c.m.Compute(names[k], func(old *value) (value, rcuhash.Op) {
			out.old = old.number(c.t)
			if in.kind == remove {
				return value{}, rcuhash.Remove
			}
			return whole(in.value), rcuhash.Replace
		})
	default:
		c.scan()
		return
	}
	c.add(in, from, out)
}

// scan is a Range: a get of every key. One that is seen twice is two gets.
func (c *client) scan() {
	seen := [keys]bool{}
	from := c.now()
	var found []call
	c.m.Range(func(name string, v *value) bool {
		if isOther(name) {
			return true
		}
		seen[keyOf(name)] = true
		found = append(found, call{get, keyOf(name), v.number(c.t)})
		if c.rnd.IntN(4) == 0 {
			runtime.Gosched()
		}
		return true
	})
	for _, f := range found {
		c.add(call{get, f.key, 0}, from, result{value: f.value})
	}
	for k, s := range seen {
		if !s {
			c.add(call{get, k, 0}, from, result{})
		}
	}
}

// resize makes a map grow and shrink until stop, by keys that no history has.
func resize(m target, most int, stop *atomic.Bool) {
	for n := 50; !stop.Load(); n = n%most + 50 {
		for i := range n {
			m.PutFlags(others[i], value{}, gfp.NoWait|gfp.NoWarn)
		}
		for i := range n {
			m.Delete(others[i])
		}
	}
}

// hold keeps grace periods from ending until stop, for a time each, so that what is
// freed in the meantime is missed.
func hold(long time.Duration, stop *atomic.Bool) {
	for !stop.Load() {
		rcu.Read(func(rcu.Guard) { time.Sleep(long) })
		time.Sleep(100 * time.Microsecond)
	}
}

// run lets the clients work on an empty map and returns what they did, and how
// many Puts were refused. The map grows and shrinks by up to that many other keys.
func run(t *testing.T, m target, contexts, more int, seed uint64) (history []porcupine.Operation, refused int) {
	var wg, resizing sync.WaitGroup
	var stop atomic.Bool
	if more > 0 {
		resizing.Go(func() { resize(m, more, &stop) })
	}
	var start atomic.Int32
	cs := make([]*client, clients)
	epoch := time.Now()
	for i := range cs {
		cs[i] = &client{t: t, id: i, m: m, epoch: epoch, contexts: contexts, rnd: rand.New(rand.NewPCG(seed, uint64(i)))}
		wg.Go(func() {
			for start.Add(1); start.Load() < clients; {
				runtime.Gosched()
			}
			for range steps {
				cs[i].step()
				if cs[i].rnd.IntN(16) == 0 {
					runtime.Gosched()
				}
			}
		})
	}
	wg.Wait()
	stop.Store(true)
	resizing.Wait()
	for _, c := range cs {
		history = append(history, c.history...)
		for _, op := range c.history {
			switch op.Input.(call).kind {
			case put, absent, swap, compute:
				if !op.Output.(result).ok {
					refused++
				}
			}
		}
	}
	return history, refused
}

// holds checks histories of fresh maps for a while.
func holds(t *testing.T, limit int64, hog bool, more int) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	a, err := page.New(page.Config{Limit: limit, ReclaimTimeout: time.Millisecond, Name: "linear"})
	if err != nil {
		t.Fatal(err)
	}
	seed := uint64(time.Now().UnixNano())
	histories, ops, refused := 0, 0, 0
	end := time.Now().Add(*duration)
	held := 300 * time.Microsecond
	for ; (time.Now().Before(end) || hog && refused == 0 && histories < 2000) && !t.Failed(); seed++ {
		m, err := rcuhash.New[string, value](1, rcuhash.WithAllocator(a))
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Prepare(len(names[0])); err != nil {
			t.Fatal(err)
		}
		var hogs []unsafe.Pointer
		for hog { // nothing is left: a Put must wait for what others unlink
			p := a.Alloc(0, gfp.Atomic|gfp.NoWarn)
			if p == nil {
				break
			}
			hogs = append(hogs, p)
			if len(hogs) == 1 { // a slab, and that is all
				m.PutFlags(names[0], whole(1), gfp.Atomic)
				m.Delete(names[0])
			}
		}
		var stop atomic.Bool
		var holding sync.WaitGroup
		if hog {
			holding.Go(func() { hold(held, &stop) })
		}
		history, no := run(t, m, contexts, more, seed)
		stop.Store(true)
		holding.Wait()
		if no == 0 {
			held = min(2*held, 20*time.Millisecond)
		}
		histories, ops, refused = histories+1, ops+len(history), refused+no
		check(t, history, seed)
		if err := m.Close(); err != nil {
			t.Error(err)
		}
		for _, p := range hogs {
			a.Free(p, 0)
		}
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if hog && refused == 0 && !t.Failed() {
		t.Error("no Put was refused: the memory was not short")
	}
	t.Logf("%d histories, %d operations, %d Puts refused", histories, ops, refused)
}

// check says which operations of a history are not linearizable.
func check(t *testing.T, history []porcupine.Operation, seed uint64) {
	t.Helper()
	switch linearizable(t, history) {
	case porcupine.Unknown:
		t.Logf("seed %d: undecided within the time", seed)
	case porcupine.Illegal:
		t.Errorf("seed %d: a history is not linearizable:\n%s", seed, explain(history))
	}
}

func TestHistoriesInAllContextsAreLinearizable(t *testing.T) { holds(t, 0, false, 0) }

func TestHistoriesOfAMapThatGrowsAndShrinksAreLinearizable(t *testing.T) {
	holds(t, 0, false, len(others)-50)
}

func TestHistoriesWithRefusedPutsAreLinearizable(t *testing.T) { holds(t, 512<<10, true, 0) }

// stale is a map with a fault: some reads come from an old copy.
type stale struct {
	target
	n    atomic.Int64
	last sync.Map
}

func (s *stale) Get(g rcu.Guard, k string) *value {
	if s.n.Add(1)%7 == 0 {
		if v, ok := s.last.Load(k); ok {
			return v.(*value)
		}
	}
	v := s.target.Get(g, k)
	if v != nil {
		c := *v
		s.last.Store(k, &c)
	}
	return v
}

// forgetful is a map with another fault: a Put that replaces removes first.
type forgetful struct{ target }

func (s *forgetful) PutFlags(k string, v value, f gfp.Flags) bool {
	s.target.Delete(k)
	return s.target.PutFlags(k, v, f)
}

// greedy is a map whose Delete claims what it did not do.
type greedy struct {
	target
	n atomic.Int64
}

func (s *greedy) Delete(k string) bool {
	return s.target.Delete(k) || s.n.Add(1)%20 == 0
}

// The test of the test: maps with planted faults are found out.
func TestHistoriesOfBrokenMapsAreNot(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	for _, broken := range []struct {
		what string
		make func(target) target
	}{
		{"reads of an old copy", func(m target) target { return &stale{target: m} }},
		{"a Put that removes first", func(m target) target { return &forgetful{target: m} }},
		{"a Delete that says yes to a missing key", func(m target) target { return &greedy{target: m} }},
	} {
		found := false
		for seed := uint64(0); seed < 300 && !found; seed++ {
			m, err := rcuhash.New[string, value](1)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Prepare(len(names[0])); err != nil {
				t.Fatal(err)
			}
			history, _ := run(t, broken.make(m), 1, 0, seed)
			found = linearizable(t, history) == porcupine.Illegal
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		}
		if !found {
			t.Errorf("%s: 300 histories, and none was rejected", broken.what)
		}
	}
}
