package slab_test

import (
	"errors"
	"fmt"
	"log"
	"strings"
	"unsafe"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/preempt"
	"quiesce/rcu"
	"quiesce/rcuhash"
	"quiesce/slab"
)

type Session struct {
	User    uint64
	Expires int64
}

var current slab.Pointer[Session] // what readers find

func Example() {
	sessions, err := slab.NewCache[Session]("sessions")
	if err != nil {
		log.Fatal(err) // a field of Session holds a Go pointer
	}
	s := sessions.Alloc(gfp.Kernel) // off the Go heap; nil: no memory
	s.User, s.Expires = 7, 1000
	current.Store(s) // publish

	g := rcu.ReadLock() // a reader: no lock, no atomic instruction
	fmt.Println("user", current.Load().User)
	g.Unlock()

	old := current.Swap(nil) // unlink first,
	sessions.FreeRCU(old)    // then free: readers may still use it
	fmt.Println("closed:", sessions.Close())
	// Output:
	// user 7
	// closed: <nil>
}

// A goroutine's own stock can't fail, where nothing may sleep either.
func ExampleCache_Sheaf() {
	sessions, err := slab.NewCache[Session]("stocked")
	if err != nil {
		log.Fatal(err)
	}
	s, err := sessions.Sheaf(3, gfp.Kernel) // may wait for memory
	if err != nil {
		log.Fatal(err)
	}
	var made [3]*Session
	p := preempt.Disable()
	for i := range made {
		made[i] = s.Alloc(gfp.NoWait | gfp.NoLocks) // not nil
		made[i].User = uint64(i)
	}
	p.Enable()
	fmt.Println("users", made[0].User, made[1].User, made[2].User)

	s.Free(made[0])
	s.FreeRCU(made[1]) // readers may still use it
	s.FreeRCU(made[2])
	s.Close()
	fmt.Println("closed:", sessions.Close())
	// Output:
	// users 0 1 2
	// closed: <nil>
}

// Objects of any size, without a cache of one's own.
func ExampleKmalloc() {
	text := "any size up to 2 MiB"
	p := slab.Kmalloc(len(text), gfp.Kernel)
	if p == nil {
		log.Fatal("no memory")
	}
	b := unsafe.Slice((*byte)(p), len(text))
	copy(b, text)
	fmt.Println(string(b))

	slab.KfreeRCU(p)       // readers may still use it
	slab.KfreeRCUBarrier() // now it is free
	// Output: any size up to 2 MiB
}

// Many objects at once.
func ExampleCache_AllocBulk() {
	cells, err := slab.NewCache[[4]uint64]("cells")
	if err != nil {
		log.Fatal(err)
	}
	batch := make([]*[4]uint64, 100)
	n := cells.AllocBulk(gfp.Kernel|gfp.Zero, batch)
	fmt.Println(n, "objects, the first is", *batch[0])
	cells.FreeBulk(batch[:n])
	fmt.Println("closed:", cells.Close())
	// Output:
	// 100 objects, the first is [0 0 0 0]
	// closed: <nil>
}

// In a raw atomic context nothing may sleep. gfp.NoLocks serves an allocation
// there from what this P has cached, or returns nil. The size class must exist
// by then, which Prepare sees to.
func ExampleHeap_Prepare() {
	heap := slab.NewHeap(page.Default())
	if err := heap.Prepare(64); err != nil {
		log.Fatal(err)
	}
	missed := 0
	preempt.Hardirq(func() { // a handler: pinned
		p := heap.Kmalloc(64, gfp.NoLocks)
		if p == nil { // nothing cached: do without, and count it
			missed++
			return
		}
		heap.KfreeRCU(p)
	})
	fmt.Println("missed at most once:", missed <= 1)
	fmt.Println("closed:", heap.Close())
	// Output:
	// missed at most once: true
	// closed: <nil>
}

// lru is a cache of the program's that can be asked for memory.
type lru struct {
	blobs *slab.Cache[[64 << 10]byte]
	kept  chan *[64 << 10]byte
}

// Reclaim frees what the program can do without. It must not wait.
func (l *lru) Reclaim(need int64) {
	for need > 0 {
		select {
		case b := <-l.kept:
			l.blobs.Free(b)
			need -= int64(len(b))
		default:
			return
		}
	}
}

// A cache with a memory limit that gives up old objects at the limit.
func ExampleWithAllocator() {
	pages, err := page.New(page.Config{Limit: 4 << 20, Name: "blobs"})
	if err != nil {
		log.Fatal(err)
	}
	blobs, err := slab.NewCache[[64 << 10]byte]("blobs", slab.WithAllocator(pages))
	if err != nil {
		log.Fatal(err)
	}
	l := &lru{blobs: blobs, kept: make(chan *[64 << 10]byte, 1000)}
	pages.AddReclaimer(l)

	for range 500 { // 32 MiB through a limit of 4 MiB
		b := blobs.Alloc(gfp.Kernel)
		if b == nil {
			log.Fatal("no memory")
		}
		l.kept <- b
	}
	fmt.Println("within the limit:", pages.Stats().Peak <= 4<<20)

	pages.RemoveReclaimer(l)
	for len(l.kept) > 0 {
		blobs.Free(<-l.kept)
	}
	fmt.Println("closed:", blobs.Close(), pages.Close())
	// Output:
	// within the limit: true
	// closed: <nil> <nil>
}

// Node is an element of a list whose links are off the Go heap too.
type Node struct {
	Key  int
	Next slab.Pointer[Node]
}

func ExamplePointer() {
	nodes, err := slab.NewCache[Node]("nodes")
	if err != nil {
		log.Fatal(err)
	}
	var head slab.Pointer[Node]
	for key := range 3 {
		n := nodes.Alloc(gfp.Kernel | gfp.Zero)
		n.Key = key
		n.Next.Store(head.LoadProtected(true)) // the only writer
		head.Store(n)                          // publish: readers see a whole node
	}

	g := rcu.ReadLock()
	for n := head.Load(); n != nil; n = n.Next.Load() {
		fmt.Println(n.Key)
	}
	g.Unlock()

	for n := head.Swap(nil); n != nil; {
		next := n.Next.LoadProtected(true)
		nodes.FreeRCU(n)
		n = next
	}
	fmt.Println("closed:", nodes.Close())
	// Output:
	// 2
	// 1
	// 0
	// closed: <nil>
}

// Close reports objects that were not freed, and that it was called before.
func ExampleLeakError() {
	defer slab.SetReporter(func(string) {})() // with -tags poison a report of the leak would fail the test run

	c, err := slab.NewCache[uint64]("counters")
	if err != nil {
		log.Fatal(err)
	}
	c.Alloc(gfp.Kernel) // never freed

	var leak *slab.LeakError
	if errors.As(c.Close(), &leak) {
		text, _, _ := strings.Cut(leak.Error(), ",") // its address follows
		fmt.Println(text)
	}
	fmt.Println(errors.Is(c.Close(), slab.ErrClosed))
	// Output:
	// slab: cache counters closed with 1 objects of 16 bytes still allocated
	// true
}

// A value that a map copies leads to a block of its own.
func ExampleMakeLink() {
	type Blob [4096]byte
	type Entry struct {
		Blob slab.Link[Blob]
		Len  int
	}
	blobs, _ := slab.NewCache[Blob]("blobs")
	entries, _ := rcuhash.New[string, Entry](100)

	b := blobs.Alloc(gfp.Kernel) // nil: no memory
	n := copy(b[:], "hello")
	entries.Put("greeting", Entry{slab.MakeLink(b), n})

	g := rcu.ReadLock()
	e := *entries.Get(g, "greeting")
	fmt.Printf("%s\n", e.Blob.Get()[:e.Len])
	g.Unlock()

	entries.Delete("greeting")  // unlink first,
	blobs.FreeRCU(e.Blob.Get()) // then free: readers may still use it
	fmt.Println("closed:", entries.Close(), blobs.Close())
	// Output:
	// hello
	// closed: <nil> <nil>
}
