package rcuhash_test

import (
	"fmt"
	"log"
	"slices"
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
	sessions, err := rcuhash.New[uint64, Session](100_000, rcuhash.WithAllocator(pages))
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
