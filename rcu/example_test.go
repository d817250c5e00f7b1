package rcu_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"quiesce/rcu"
)

// Config is never changed: an update publishes a new one.
type Config struct {
	Upstream string
	conn     *conn // must not be closed while a reader uses it
}

type conn struct{ open bool }

func (c *conn) Close() { c.open = false }

var config atomic.Pointer[Config]

// RCU replaces an RWMutex around a pointer: readers never wait, and the updater
// waits until no reader can use the old version any more.
func Example() {
	config.Store(&Config{Upstream: "a.example", conn: &conn{open: true}})

	read := func() { // instead of mu.RLock and mu.RUnlock
		g := rcu.ReadLock()
		c := config.Load()
		fmt.Println(c.Upstream, c.conn.open)
		g.Unlock()
	}
	update := func(next *Config) { // instead of mu.Lock and mu.Unlock
		old := config.Swap(next) // new readers find next
		rcu.Synchronize()        // readers that found old have left
		old.conn.Close()
	}

	read()
	update(&Config{Upstream: "b.example", conn: &conn{open: true}})
	read()
	// Output:
	// a.example true
	// b.example true
}

// An updater that must not wait registers a callback.
func ExampleCall() {
	old := &conn{open: true}

	rcu.Call(old.Close) // runs after all readers of this moment have left

	rcu.Barrier() // at exit: wait for callbacks
	fmt.Println("open:", old.open)
	// Output:
	// open: false
}

// Objects that all come to the same end need no closure each.
func ExampleBatch() {
	closed := 0
	ends := rcu.NewBatch("conns", func(cs []*conn) { // some of those added, as a slice
		for _, c := range cs {
			c.Close()
			closed++
		}
	})

	for range 1000 {
		ends.Add(&conn{open: true}) // closed after all readers of this moment have left
	}

	ends.Barrier() // wait for those
	fmt.Println("closed:", closed)
	if err := ends.Close(); err != nil { // at exit
		fmt.Println(err)
	}
	// Output:
	// closed: 1000
}

// Read-side sections nest, and do not keep the updaters of this goroutine
// waiting once they are unlocked. Several updaters still need a lock among
// themselves.
func ExampleReadLock() {
	var mu sync.Mutex // updaters only
	var names atomic.Pointer[[]string]
	names.Store(&[]string{"ada"})

	add := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		next := append([]string{name}, *names.Load()...)
		names.Store(&next) // Go-heap data needs no Synchronize: the collector frees it
	}
	add("grace")

	g := rcu.ReadLock()
	fmt.Println(*names.Load())
	g.Unlock()
	// Output:
	// [grace ada]
}

// A goroutine that reads all the time registers, which makes its sections a few
// instructions long. Functions that want proof get the guard.
func ExampleReader() {
	var current rcu.Pointer[conn]
	current.Store(&conn{open: true})

	requests := make(chan string)
	done := make(chan bool)
	go func() { // one of a fixed number of workers
		r := rcu.NewReader()
		defer r.Close()
		for name := range requests {
			g := r.ReadLock()
			fmt.Println(name, "finds it open:", current.Load(g).open)
			r.Unlock()
		}
		close(done)
	}()

	requests <- "first"
	requests <- "second"
	close(requests)
	<-done
	// Output:
	// first finds it open: true
	// second finds it open: true
}

// A cookie names a grace period. It lets a program ask, and do something else in
// the meantime.
func ExampleStartPoll() {
	old := &conn{open: true} // unlinked; readers may still use it
	cookie := rcu.StartPoll()

	for !rcu.Poll(cookie) {
		time.Sleep(time.Millisecond) // do other work
	}
	old.Close()
	fmt.Println("open:", old.open)
	// Output:
	// open: false
}

// GetState costs less than StartPoll, and CondSynchronize nothing if a grace
// period has passed by itself.
func ExampleCondSynchronize() {
	cookie := rcu.GetState()

	rcu.Synchronize() // of some other updater

	rcu.CondSynchronize(cookie) // returns at once
	fmt.Println("over:", rcu.Poll(cookie))
	// Output:
	// over: true
}

// An object with an end, replaced as a whole: readers of the old one are waited
// for by nobody, and it is closed after they have left.
func ExamplePointer() {
	var current rcu.Pointer[conn]
	current.Store(&conn{open: true})

	g := rcu.ReadLock()
	c := current.Load(g)
	current.Replace(&conn{open: true}, (*conn).Close) // returns at once
	fmt.Println("a reader's is open:", c.open)
	g.Unlock()

	rcu.Barrier() // at exit: wait for what is left to close
	fmt.Println("open:", c.open)
	// Output:
	// a reader's is open: true
	// open: false
}
