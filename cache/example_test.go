package cache_test

import (
	"fmt"
	"log"
	"time"

	"quiesce/cache"
	"quiesce/rcu"
)

// Session is what a cache holds: a type without Go pointers.
type Session struct {
	User    int
	Visited [4]uint32
}

func Example() {
	sessions, err := cache.New(cache.Options[string, Session]{MaxBytes: 64 << 20, TTL: time.Hour})
	if err != nil {
		log.Fatal(err)
	}
	defer sessions.Close()

	if err := sessions.Set("7f3a", Session{User: 7}); err != nil {
		log.Print(err) // the cache works without this entry
	}
	if s, ok := sessions.Get("7f3a"); ok {
		fmt.Println("user", s.User)
	}
	_, ok := sessions.Get("beef")
	fmt.Println("beef:", ok)
	// Output:
	// user 7
	// beef: false
}

// View reads a value where it is, without a copy.
func ExampleCache_View() {
	pages, err := cache.New(cache.Options[uint64, [4096]byte]{MaxBytes: 16 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer pages.Close()
	if err := pages.Set(1, [4096]byte{100: 42}); err != nil {
		log.Fatal(err)
	}
	pages.View(1, func(p *[4096]byte) { fmt.Println(p[100]) })
	// Output: 42
}

// Code that reads several entries at a time has a guard of its own.
func ExampleCache_GetGuarded() {
	prices, err := cache.New(cache.Options[string, float64]{MaxBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer prices.Close()
	_, _ = prices.SetIfAbsent("apple", 1.5)
	_ = prices.SetTTL("pear", 2, time.Minute)

	g := rcu.ReadLock()
	apple, pear, plum := prices.GetGuarded(g, "apple"), prices.GetGuarded(g, "pear"), prices.GetKey(g, []byte("plum"))
	fmt.Println(*apple, *pear, plum)
	g.Unlock()
	// Output: 1.5 2 <nil>
}

// Bytes has values of any length.
func ExampleBytes() {
	pages, err := cache.NewBytes(cache.Options[string, []byte]{MaxBytes: 64 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer pages.Close()
	if err := pages.Set("/index.html", []byte("<h1>Hello</h1>")); err != nil {
		log.Fatal(err)
	}
	buf := make([]byte, 0, 64)
	buf, ok := pages.AppendTo(buf, "/index.html") // no allocation
	fmt.Println(string(buf), ok)
	pages.View("/index.html", func(v []byte) { fmt.Println(len(v)) }) // no copy either
	// Output:
	// <h1>Hello</h1> true
	// 14
}

// OnEvict sees every entry that leaves, with the reason.
func ExampleOptions() {
	c, err := cache.New(cache.Options[string, int]{
		MaxBytes: 1 << 20,
		OnEvict:  func(k string, v int, why cache.Reason) { fmt.Println(k, v, why) },
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_ = c.Set("a", 1)
	_ = c.Set("a", 2)
	c.Delete("a")
	// Output:
	// a 1 replaced
	// a 2 deleted
}

func ExampleStats() {
	c, err := cache.New(cache.Options[int, int]{MaxBytes: 1 << 20})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	_ = c.Set(1, 1)
	before := c.Stats()
	for i := range 4 {
		c.Get(i)
	}
	d := c.Stats().Minus(before)
	fmt.Println(d.Hits, d.Misses, d.HitRatio(), d.Entries)
	// Output: 1 3 0.25 1
}
