package cache_test

import (
	"fmt"
	"log"
	"time"

	"quiesce/cache"
)

// README.md shows this body; a test compares the two.
func Example_readme() {
	type Session struct{ User, Seen uint64 } // no Go pointers
	sessions, err := cache.New(cache.Options[string, Session]{
		MaxBytes: 1 << 30, // off the Go heap; a limit that holds
		TTL:      30 * time.Minute,
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := sessions.Set("7f3a", Session{User: 7, Seen: 1000}); err != nil {
		log.Print(err) // the program works without this entry
	}
	if s, ok := sessions.Get("7f3a"); ok { // no lock; a copy
		fmt.Println("user", s.User)
	}
	sessions.View("7f3a", func(s *Session) { // in place, without a copy
		fmt.Println("seen", s.Seen)
	})
	fmt.Println("closed:", sessions.Close())
	// Output:
	// user 7
	// seen 1000
	// closed: <nil>
}
