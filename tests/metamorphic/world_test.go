package metamorphic

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"quiesce/gfp"
	"quiesce/internal/fault"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/slab"
)

// world is what a program runs in.
type world struct {
	a       *page.Allocator
	heap    *slab.Heap
	kinds   map[string]*kind
	tables  map[string]table
	threads [threads]*thread
	opts    options
	leaked  int // objects not freed at "close"
	ended   []rcu.Cookie

	mu      sync.Mutex
	balloon []unsafe.Pointer // protected by mu
}

// thread runs the operations of one number. Between two operations of "*" it
// is a goroutine; its state is that goroutine's, and "*"'s afterwards.
type thread struct {
	w      *world
	id     int
	guards [2]*guard
	quota  map[string]int // allocations since the last barrier
	calls  int            // callbacks registered
	called atomic.Int64   // callbacks that ran
	n      uint64         // the operation's number, and the stamp of what it writes
}

// guard is a reader with what it found.
type guard struct {
	g       rcu.Guard
	refs    []ref
	cookies []rcu.Cookie // taken under it
}

type ref struct {
	p    unsafe.Pointer
	size int
	n    uint64
}

const maxLeaks = 8

// bound is a limit that holds everything that a program can have: of each
// kind what is live and what was allocated since the last barrier; a fifth of
// waste in size classes; for each P sheaves and the slabs that they were
// filled from; what was leaked; and metadata.
func (w *world) bound() int64 {
	n := int64(maxLeaks*64<<10 + 1<<20)
	for _, k := range w.kinds {
		n += int64(threads*2*len(k.slots[0])*k.size()*5/4 + 8*64<<10)
	}
	n += int64(len(w.tables) * 4 * 8 * 64 << 10)
	return n + n/16
}

func newWorld(o options) (*world, error) {
	fault.SetResize(o.int("resize", 0) != 0)
	w := &world{opts: o, kinds: map[string]*kind{}, tables: map[string]table{}}
	if err := w.pages(0); err != nil { // for the kinds' sizes
		return nil, err
	}
	w.make()
	if o.int("limit", 0) != 0 || o["balloon"] != "" {
		limit := w.bound()
		w.close()
		if err := w.a.Close(); err != nil {
			return nil, err
		}
		if err := w.pages(limit); err != nil {
			return nil, err
		}
		w.make()
	}
	for i := range w.threads {
		w.threads[i] = &thread{w: w, id: i, quota: map[string]int{}}
	}
	runtime.GOMAXPROCS(o.int("procs", 2))
	w.inflate()
	return w, nil
}

func (w *world) pages(limit int64) (err error) {
	w.a, err = page.New(page.Config{Name: "world", Limit: limit, Reserve: 4 << 30, ReclaimTimeout: 20 * time.Millisecond})
	return err
}

// make makes the kinds and the maps.
func (w *world) make() {
	opts := []slab.Option{slab.WithAllocator(w.a)}
	if n := w.opts.int("sheaf", 0); n > 0 {
		opts = append(opts, slab.WithSheaf(n))
	}
	if n := w.opts.int("depot", -1); n >= 0 {
		opts = append(opts, slab.WithDepot(int64(n)))
	}
	w.heap = slab.NewHeap(w.a)
	sizes := []int{24, 700, 20000}
	if err := w.heap.Prepare(sizes...); err != nil {
		panic(err)
	}
	all := map[string]memory{
		"cache16":   newCache[[2]uint64]("cache16", opts),
		"cache64":   newCache[[8]uint64]("cache64", opts),
		"cache272":  newCache[[34]uint64]("cache272", opts),
		"cache5000": newCache[[625]uint64]("cache5000", opts),
		"page":      pages{w.a, 0},
		"pages8":    pages{w.a, 3},
	}
	for _, n := range sizes {
		all[fmt.Sprintf("kmalloc%d", n)] = kmalloc{w.heap, n}
	}
	for name, m := range all {
		k := &kind{memory: m, shared: sharedKind[name]}
		for t := range k.slots {
			k.slots[t] = make([]unsafe.Pointer, max(slotBytes/m.size(), 2))
		}
		w.kinds[name] = k
	}
	w.tables["words"] = newWords(w.a)
	w.tables["numbers"] = newNumbers(w.a)
}

// close closes what make made. Nothing is live.
func (w *world) close() (results []string) {
	say := func(what string, err error) {
		if err != nil {
			results = append(results, what+": "+anonymous(err.Error()))
		}
	}
	for _, name := range cacheNames {
		say(name, w.kinds[name].memory.(closer).close())
	}
	for _, name := range []string{"words", "numbers"} {
		say(name, w.tables[name].Close())
	}
	say("kmalloc", w.heap.Close())
	return results
}

// inflate takes pages until the balloon leaves what the option says.
func (w *world) inflate() {
	leave := w.opts.int("balloon", -1)
	if leave < 0 {
		return
	}
	leave += int(w.a.Stats().Reserve)
	w.mu.Lock()
	defer w.mu.Unlock()
	for failed := 0; failed < 50; { // some fail on purpose
		if p := w.a.Alloc(0, gfp.Atomic|gfp.NoWarn); p != nil {
			w.balloon = append(w.balloon, p)
			failed = 0
		} else {
			failed++
		}
	}
	w.release(leave/page.Size + 1)
}

// deflate frees some of the balloon.
func (w *world) deflate() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(64)
}

// release frees n pages of the balloon. mu is held.
func (w *world) release(n int) {
	for ; n > 0 && len(w.balloon) > 0; n-- {
		last := len(w.balloon) - 1
		w.a.Free(w.balloon[last], 0)
		w.balloon = w.balloon[:last]
	}
}

// patience is how long an allocation is repeated that the bound says must
// succeed.
const patience = 20 * time.Second

// persist calls try until it is true.
func (w *world) persist(try func() bool) bool {
	for end := time.Now().Add(patience); ; w.deflate() {
		if try() {
			return true
		}
		if time.Now().After(end) {
			return false
		}
	}
}

// run runs a program and returns the results, one for each operation and
// those of the end.
func (w *world) run(p program) []string {
	results := make([]string, len(p))
	for i := 0; i < len(p); {
		if p[i].thread < 0 {
			results[i] = w.alone(p[i], uint64(i)+1)
			i++
			continue
		}
		j := i
		for j < len(p) && p[j].thread >= 0 {
			j++
		}
		var wg sync.WaitGroup
		for _, t := range w.threads {
			wg.Go(func() {
				for n := i; n < j; n++ {
					if p[n].thread == t.id {
						t.n = uint64(n) + 1
						results[n] = t.do(p[n])
					}
				}
			})
		}
		wg.Wait()
		i = j
	}
	results = append(results, w.alone(op{-1, "barrier", "-", 0, 0}, 0))
	for _, k := range w.kinds {
		w.freeAll(k, 0)
	}
	results = append(results, w.close()...)
	w.mu.Lock()
	w.release(len(w.balloon))
	w.mu.Unlock()
	err := w.a.Close()
	if (err != nil) != (w.leaked > 0) {
		results = append(results, fmt.Sprintf(wrong+"%d objects were leaked, and closing the pages: %v", w.leaked, err))
	}
	return results
}
