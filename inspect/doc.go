// Package inspect shows what the allocators, caches, maps and grace periods of the
// process are doing: memory that Go's own tools don't see.
//
//	http.Handle("/debug/quiesce/", inspect.Handler()) // a page, and its data as text and JSON
//	inspect.PublishExpvar("quiesce")                  // in /debug/vars
//	s := inspect.Snapshot()                           // one struct
//	err := inspect.WriteHeapProfile(f)                // for go tool pprof
//
// Nothing is registered or runs unless it is asked for. A program that doesn't
// import the package pays nothing for it.
//
// # What a Snapshot is
//
// [Snapshot] reads every allocator, slab cache, map and cache that is not closed,
// one after the other. It stops nobody: of each slab cache it takes the lock for
// two loads, and for the rest it reads words that others write. So the figures of
// an object that is in use at that moment need not fit together. While nobody uses
// it they are exact, and the identities beside the fields of [State] hold.
//
// # Names
//
// Each object is shown under a name of its own. It is the name that the program gave
// (page.Config.Name, slab.NewCache, slab.HeapName, rcuhash.WithName,
// cache.Options.Name), or what kind of thing it is. If another living object has
// that name, it is followed by a number: sessions, sessions#2. The name of a
// closed object is free for the next. The size classes of a map are named after it:
// sessions-64 has its objects of 64 bytes.
//
// The package keeps none of them alive. One that the program dropped without Close
// is shown until the garbage collector finds it, if it does: an allocator that was
// not closed stays.
package inspect
