package rcu

import (
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"quiesce/internal/race"
	"quiesce/internal/sys"
	"quiesce/internal/testkit"
)

// stressTime is how long one stress runs. Longer runs belong to rcutorture.
var stressTime = func() time.Duration {
	if testkit.Long() || race.Enabled {
		return 120 * time.Millisecond
	}
	return 60 * time.Millisecond
}()

// dawdle makes a section longer, so that grace periods happen inside.
func dawdle() {
	if sys.Nanotime()&7 == 0 {
		sys.Pause(200)
	}
}

// lasts reports whether a stress that began then continues: for stressTime, and
// until something was tested, but not for ever.
func lasts(begin time.Time, tested bool) bool {
	d := time.Since(begin)
	return d < stressTime || !tested && d < 20*time.Second
}

// replaceObjects publishes the two objects by turns, and poisons the other after a
// grace period, while the stress lasts. It returns the next version.
func replaceObjects(object *[2]word, published *word, sections *atomic.Int64) uint64 {
	k := uint64(1)
	for begin := time.Now(); lasts(begin, sections.Load() > 1000); k++ {
		store(&object[k&1].v, k)
		store(&published.v, k&1)
		Synchronize()
		store(&object[k&1^1].v, poison)
	}
	return k
}

// look reads the published object some times in a section, and counts poison.
func look(object *[2]word, published *word, bad *atomic.Int64) {
	o := &object[load(&published.v)]
	for range 3 {
		if load(&o.v) == poison {
			bad.Add(1)
		}
		dawdle()
	}
}

// stress runs the updater, who counts his rounds from 1, against readers of
// every flavour in turn. reader runs inside a section and reports whether it saw
// what it may see.
func stress(t *testing.T, updater func(k uint64), reader func() bool) {
	testkit.AtLeastProcs(t, 2)
	k := uint64(0)
	for _, f := range flavours {
		t.Run(f.name, func(t *testing.T) {
			var stop atomic.Bool
			var bad, rounds atomic.Int64
			done := testkit.AsyncN(2, func(int) {
				for !stop.Load() {
					f.section(func() {
						if !reader() {
							bad.Add(1)
						}
					})
					rounds.Add(1)
				}
			})
			first := k
			for begin := time.Now(); lasts(begin, rounds.Load() > 0); {
				k++
				updater(k)
			}
			stop.Store(true)
			<-done
			if bad.Load() > 0 {
				t.Errorf("%d of %d sections saw what they must never see, in %d grace periods", bad.Load(), rounds.Load(), k-first)
			}
			if k == first || rounds.Load() == 0 {
				t.Errorf("nothing was tested: %d grace periods, %d sections", k-first, rounds.Load())
			}
		})
	}
}

const poison = 0xdeadbeefdeadbeef

// The litmus test RCU+sync+free: reader { r0=deref(y); r1=*r0 }, updater
// { assign(y,z); sync; x=0 }; r0==&x && r1==0 is forbidden. Here in a loop:
// two objects, of which one is published, the other poisoned after the grace
// period and prepared anew. The reader looks many times.
func TestRCUsyncfree_ReaderNeverSeesThePoison(t *testing.T) {
	var object [2]word
	var published word // which of them
	updater := func(k uint64) {
		next := k & 1
		store(&object[next].v, k)
		store(&published.v, next)
		Synchronize()
		store(&object[next^1].v, poison)
	}
	updater(0)
	stress(t, updater, func() bool {
		o := &object[load(&published.v)]
		for range 4 {
			if load(&o.v) == poison {
				return false
			}
			dawdle()
		}
		return true
	})
}

// The same by cookies: many objects wait for their grace periods at once.
func TestRCUsyncfree_ObjectsThatWaitByCookie(t *testing.T) {
	const n = 64
	var object [n]word
	var cookie [n]Cookie
	var published word
	i := uint64(0)
	stress(t, func(k uint64) {
		old := i
		i = (i + 1) % n
		if k >= n { // the n-th round comes back to object 0
			// The oldest object is freed here and used again at once.
			if !Poll(cookie[i]) {
				CondSynchronize(cookie[i])
			}
			store(&object[i].v, poison)
		}
		store(&object[i].v, k)
		store(&published.v, i)
		cookie[old] = GetState()
		if k%16 == 0 {
			StartPoll()
		}
	}, func() bool {
		o := &object[load(&published.v)]
		first := load(&o.v)
		dawdle()
		return first != poison && load(&o.v) == first
	})
}

// The same by callbacks.
func TestRCUsyncfree_ObjectsFreedByCall(t *testing.T) {
	const n = 256
	var object [n]word
	var published word
	free := make(chan uint64, n)
	for i := range uint64(n - 1) {
		free <- i + 1
	}
	cur := uint64(0)
	stress(t, func(k uint64) {
		next := <-free
		store(&object[next].v, k)
		store(&published.v, next)
		old := cur
		cur = next
		Call(func() {
			store(&object[old].v, poison)
			free <- old
		})
	}, func() bool {
		o := &object[load(&published.v)]
		first := load(&o.v)
		dawdle()
		return first != poison && load(&o.v) == first
	})
	Barrier()
}

// Everything at once while Ps come and go.
func TestRCUsyncfree_WhileGOMAXPROCSChanges(t *testing.T) {
	var object [2]word
	var published word
	store(&object[0].v, 1)
	old := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(old)
	var stop atomic.Bool
	var bad atomic.Int64
	readers := testkit.AsyncN(8, func(i int) {
		f := flavours[i%len(flavours)]
		if i >= 4 {
			f = flavours[len(flavours)-1-i%2] // preemptible
		}
		for !stop.Load() {
			f.section(func() {
				look(&object, &published, &bad)
			})
			runtime.Gosched()
		}
	})
	rounds := 0
	updater := testkit.Async(func() {
		for k := uint64(1); !stop.Load(); k++ {
			store(&object[k&1].v, k)
			store(&published.v, k&1)
			Synchronize()
			store(&object[k&1^1].v, poison)
			rounds++
		}
	})
	for i, end := 0, time.Now().Add(4*stressTime); time.Now().Before(end); i++ {
		runtime.GOMAXPROCS([]int{16, 1, 8, 2, 3}[i%5])
		time.Sleep(2 * time.Millisecond)
	}
	stop.Store(true)
	testkit.Within(t, "the end of all readers", readers)
	testkit.Within(t, "the end of the updater", updater)
	if bad.Load() > 0 {
		t.Errorf("%d times a reader saw the poison in %d grace periods", bad.Load(), rounds)
	}
	if rounds == 0 {
		t.Error("no grace period ended")
	}
}
