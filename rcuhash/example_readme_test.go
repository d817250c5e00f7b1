package rcuhash_test

import (
	"fmt"
	"log"

	"quiesce/rcu"
	"quiesce/rcuhash"
)

// README.md shows this body; a test compares the two.
func Example_readme() {
	type Session struct{ User, Expires uint64 } // no Go pointers
	sessions, err := rcuhash.New[string, Session](1_000_000)
	if err != nil {
		log.Fatal(err)
	}
	if !sessions.Put("7f3a", Session{User: 7, Expires: 1000}) {
		log.Fatal("no memory")
	}

	rcu.Read(func(g rcu.Guard) { // no lock, nothing shared is written
		if s := sessions.Get(g, "7f3a"); s != nil {
			fmt.Println("user", s.User) // in place, not copied
		}
	}) // s must not be used any more

	fmt.Println("closed:", sessions.Close())
	// Output:
	// user 7
	// closed: <nil>
}
