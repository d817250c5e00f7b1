package slab_test

import (
	"fmt"
	"log"

	"quiesce/gfp"
	"quiesce/rcu"
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
	sessions.FreeRCU(old)    // then free: readers may still look at it
	fmt.Println("closed:", sessions.Close())
	// Output:
	// user 7
	// closed: <nil>
}
