// Quiescevet is a vet tool for programs that use Quiesce, bbolt or pebble: it
// finds guards that are not unlocked and memory that is used after its guard or
// transaction has ended, before the program runs.
//
//	go build -o quiescevet ./cmd/quiescevet
//	quiescevet ./...                          # by itself
//	go vet -vettool=$(which quiescevet) ./... # by go vet, which caches results
//
// As a tool of another module:
//
//	go get -tool quiesce/cmd/quiescevet
//	go tool quiescevet ./...
//	go vet -vettool=$(go tool -n quiescevet) ./...
//
// Package golangci is a module plugin of golangci-lint.
//
// # Checks
//
// unlock finds a guard that is not ended on a path, ended twice, or deferred in a
// loop. So are the tokens of package preempt. For a guard that is never ended it
// suggests a defer, unless the function loops there or returns a pointer.
//
//	g := rcu.ReadLock() // guard from rcu.ReadLock is not ended on the path that returns at line 14
//	s := sessions.Get(g, k)
//	if s == nil {
//		return errAbsent
//	}
//	g.Unlock()
//
// borrow finds what a look-up returned and that is used after the guard, the
// function literal or the transaction has ended; returned from there; stored in a
// package's variable, a receiver's field or a variable around the literal; sent
// to a channel; captured by a goroutine that nobody waits for.
//
//	db.View(func(tx *bbolt.Tx) error {
//		v = tx.Bucket(name).Get(k) // stored in variable v, which is used after the transaction of DB.View has ended
//		return nil
//	})
//	return v
//
// pinned finds what blocks between preempt.Disable and Enable, under a lock.Raw
// and in preempt.Hardirq, in functions that are called there too. A function
// blocks if its doc comment says "Context: task; not pinned.", if it is one of
// Go's that do, or if every run of it comes to something that does.
//
// grace finds waits for a grace period or for memory in a read-side section:
// Synchronize, Barrier, Close, Put, an Alloc with gfp.Kernel.
//
// nilalloc finds results of Alloc and Kmalloc with gfp.NoWait, gfp.Atomic or
// gfp.NoLocks that are used without a look for nil.
//
// gopointers finds Go pointers in types that live off the heap, and slab.Pointer
// and slab.Link that are set to a Go object.
//
// earlyfree finds a Free of what a Swap or CompareAndSwap took out of a
// slab.Pointer just now, in a package that has readers. It suggests FreeRCU. -fix
// applies what is suggested. It finds, too, a Free of what a Load or a Get returned
// under a guard of the same function, if nothing between may have unlinked it.
//
//	g := rcu.ReadLock()
//	if s := current.Load(); s != nil && s.Expired(now) {
//		sessions.Free(s) // of an object that readers may still have
//	}
//	g.Unlock()
//
// oneowner finds an rcu.Reader or a slab.Sheaf that two goroutines use.
//
// A flag for each switches it on, and the others off: -unlock. With =false it is
// off: -unlock=false.
//
// # Sources of one's own
//
// A file quiescevet.json, in the directory of a package or above it, names what
// else lends memory. Functions are written path.Func or path.Type.Method.
//
//	{
//	  "sources": [
//	    {
//	      "name": "transaction",
//	      "begin": ["example.org/db.DB.Begin"],
//	      "end": ["example.org/db.Tx.Commit", "example.org/db.Tx.Rollback"],
//	      "lend": ["example.org/db.DB.View"],
//	      "handle": ["example.org/db.Tx.Table"],
//	      "borrow": ["example.org/db.Table.Get"]
//	    }
//	  ]
//	}
//
// begin returns the token of the section, as result number "token" (0), and
// results "values" that are valid until its end. end are methods of the token.
// lend calls a function literal with the token, lendValues with borrowed memory.
// handle returns what stands for its receiver's section, and borrow what is valid
// until that section ends; each calls a literal with such values. After step, an
// iterator's Next, what was borrowed before is dead.
//
// bbolt and pebble are built in.
//
// # Comments
//
// A finding that is meant stays unreported with a comment that says why: at the
// end of the line or on the line before it, in the doc comment of the function,
// or before the package clause, for the file.
//
//	g.Unlock() //quiescevet:ignore the test wants the panic
//
// A function that recovers from a panic, or that is passed to one whose name has
// Panic or Expect in it, is not looked at.
//
// # What it does not see
//
// It is silent where it is not sure. A guard that is stored in a struct, or passed
// to a function that may end it, has no path to follow; nor has a variable that a
// function literal changes. Borrowed memory is followed within one function and
// the literals in it, not through other functions' results or fields. Under a
// mutex nothing is borrowed: who holds it may be the only one to remove the
// object. Two conditions are the same if they are written alike; others are taken
// to be independent. A loop's body over Map.All is not followed. The race
// detector, poison and lockdep find, in runs, what this does not see.
package main
