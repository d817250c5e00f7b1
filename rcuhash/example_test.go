package rcuhash_test

import (
	"bytes"
	"fmt"
	"log"
	"slices"
	"strings"
	"sync"
	"time"

	"quiesce/gfp"
	"quiesce/page"
	"quiesce/rcu"
	"quiesce/rcuhash"
)

type Session struct {
	User    uint64
	Expires int64
}

// Put and Delete need no guard. Get does, and returns the value in place.
func Example() {
	sessions, err := rcuhash.New[string, Session](1000)
	if err != nil {
		log.Fatal(err)
	}
	sessions.Put("7f3a", Session{User: 7, Expires: 1000})
	sessions.Put("91c0", Session{User: 9, Expires: 2000})
	sessions.Delete("91c0")

	g := rcu.ReadLock()
	if s := sessions.Get(g, "7f3a"); s != nil {
		fmt.Println("user", s.User) // not copied; valid until g.Unlock
	}
	fmt.Println("deleted key found:", sessions.Get(g, "91c0") != nil)
	g.Unlock()

	fmt.Println("closed:", sessions.Close())
	// Output:
	// user 7
	// deleted key found: false
	// closed: <nil>
}

// A value that is changed is replaced as a whole: readers see the old one or
// the new one.
func ExampleMap_Put() {
	sessions, err := rcuhash.New[string, Session](1000)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	sessions.Put("7f3a", Session{User: 7, Expires: 1000})

	g := rcu.ReadLock()
	old := sessions.Get(g, "7f3a")
	next := *old // a copy, to be changed
	g.Unlock()

	next.Expires = 2000
	if !sessions.Put("7f3a", next) {
		log.Print("no memory; the old value is still there")
	}

	g = rcu.ReadLock()
	fmt.Println("expires", sessions.Get(g, "7f3a").Expires)
	g.Unlock()
	// Output:
	// expires 2000
}

// A counter for each word: Compute makes the new value of the old one, and
// loses no change of other goroutines.
func ExampleMap_Compute() {
	words, err := rcuhash.New[string, int64](0) // it grows
	if err != nil {
		log.Fatal(err)
	}
	defer words.Close()

	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for _, w := range strings.Fields("to be or not to be") {
				words.Compute(w, func(old *int64) (int64, rcuhash.Op) {
					if old == nil {
						return 1, rcuhash.Replace
					}
					return *old + 1, rcuhash.Replace
				})
			}
		})
	}
	wg.Wait()
	words.Compute("not", func(*int64) (int64, rcuhash.Op) { return 0, rcuhash.Remove })

	rcu.Read(func(g rcu.Guard) {
		fmt.Println("be", *words.Get(g, "be"), "not", words.Get(g, "not"))
	})
	// Output:
	// be 8 not <nil>
}

// Many look-ups at once wait for memory at the same time.
func ExampleMap_GetBatch() {
	squares, err := rcuhash.New[uint32, uint64](1000)
	if err != nil {
		log.Fatal(err)
	}
	defer squares.Close()
	for n := range uint32(1000) {
		squares.Put(n, uint64(n)*uint64(n))
	}

	keys := []uint32{3, 500, 5000, 999}
	values := make([]*uint64, len(keys))
	rcu.Read(func(g rcu.Guard) {
		squares.GetBatch(g, keys, values)
		for i, v := range values {
			if v == nil {
				fmt.Println(keys[i], "is not there")
				continue
			}
			fmt.Println(keys[i], *v)
		}
	})
	// Output:
	// 3 9
	// 500 250000
	// 5000 is not there
	// 999 998001
}

// All is a walk in a section of the caller: what it finds stays valid until
// Unlock.
func ExampleMap_All() {
	ages, err := rcuhash.New[string, int](0)
	if err != nil {
		log.Fatal(err)
	}
	defer ages.Close()
	ages.Put("Ada", 36)
	ages.Put("Grace", 85)
	ages.Put("Alan", 41)

	g := rcu.ReadLock()
	defer g.Unlock()
	oldest, age := "", new(int)
	for name, a := range ages.All(g) {
		if *a > *age {
			oldest, age = name, a // a is not copied
		}
	}
	fmt.Println(oldest, *age)
	// Output:
	// Grace 85
}

// Values of any length are slices of the map's memory, valid under the guard.
func ExampleBytes() {
	pages, err := rcuhash.NewBytes[string](0)
	if err != nil {
		log.Fatal(err)
	}
	defer pages.Close()
	pages.Put("/", []byte("<h1>Hello</h1>"))
	pages.Put("/empty", nil)

	request := []byte("GET / HTTP/1.1")
	path := bytes.Fields(request)[1]
	rcu.Read(func(g rcu.Guard) {
		body, ok := pages.GetKey(g, path) // Get of a key that is in a buffer
		fmt.Printf("%s %v\n", body, ok)
		body, ok = pages.Get(g, "/empty")
		fmt.Println(len(body), ok)
		_, ok = pages.Get(g, "/none")
		fmt.Println(ok)
	})
	// Output:
	// <h1>Hello</h1> true
	// 0 true
	// false
}

// Range may delete the keys that it visits.
func ExampleMap_Range() {
	sessions, err := rcuhash.New[uint64, Session](1000)
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()
	for id := range uint64(6) {
		sessions.Put(id, Session{User: id, Expires: int64(id) * 100})
	}

	const now = 300
	var expired []uint64
	sessions.Range(func(id uint64, s *Session) bool {
		if s.Expires < now {
			sessions.Delete(id)
			expired = append(expired, s.User) // s stays readable until the function returns
		}
		return true
	})

	slices.Sort(expired)
	fmt.Println("expired:", expired, "left:", sessions.Len())
	// Output:
	// expired: [0 1 2] left: 3
}

// An allocator with a limit bounds the memory of a map: buckets, nodes and
// metadata.
func ExampleWithAllocator() {
	const limit = 4 << 20
	pages, err := page.New(page.Config{
		Name:           "sessions",
		Limit:          limit,
		ReclaimTimeout: 10 * time.Millisecond, // how long Put waits for memory
	})
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := rcuhash.New[uint64, Session](50_000, rcuhash.WithAllocator(pages))
	if err != nil {
		log.Fatal(err)
	}

	id := uint64(0)
	for sessions.PutFlags(id, Session{User: id}, gfp.Kernel|gfp.NoWarn) {
		id++
	}
	fmt.Println("the map is full with thousands of keys:", id > 10_000)
	fmt.Println("peak within the limit:", pages.Stats().Peak <= limit)

	for id := range uint64(100) { // make room
		sessions.Delete(id)
	}
	sessions.Barrier() // wait until the memory of what was deleted is free
	fmt.Println("put again:", sessions.Put(id, Session{User: id}))

	fmt.Println("closed:", sessions.Close(), pages.Close())
	// Output:
	// the map is full with thousands of keys: true
	// peak within the limit: true
	// put again: true
	// closed: <nil> <nil>
}
